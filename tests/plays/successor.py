"""A forwarder that stood still while another took over what it had: it is told,
ends, and nothing that it says counts."""
import shutil
import signal

from stage import SECONDS, STEADY, Stage, end, expect, stored, wait_for

SIZE = 1_000_000


def take_over(stage):
    """Stop the forwarder and start another, from a copy of its directory, with
    all of its workers; returns the one that was stopped."""
    old = stage.processes.pop('origin')
    old.send_signal(signal.SIGSTOP)
    shutil.copytree(stage.place('origin'), stage.home / 'heir')
    before = stage.cluster.read_text()
    at = f'127.0.0.1:{stage.other_port()}'
    stage.kill(*stage.names[1:])
    stage.cluster.write_text(before.replace(stage.at['origin'], at).replace(
        str(stage.place('origin')), str(stage.home / 'heir')))
    stage.at['origin'] = at
    stage.start(*stage.names)
    stage.wait_live(*stage.names[1:])
    (stage.home / 'before.yml').write_text(before)
    return old


with Stage(workers=3, patience=STEADY) as stage:
    clip, late = stage.file('clip', 5_000_000), stage.file('late', SIZE, 2)
    stage.put(clip)
    camera = stage.begin('push', 'cam', '-')
    camera.stdin.write(late.read_bytes())
    camera.stdin.flush()
    wait_for(lambda: stored(stage, 'cam') == SIZE, 'it is stored')
    with stage.case('invariant 8, R1: a stopped forwarder that wakes beside its '
                    'successor is fenced by a worker, says so and ends'):
        old = take_over(stage)
        stage.put(late)
        #   More for the one that stands still, and a worker that finds it.
        camera.stdin.write(bytes(60_000))     # A pipe takes as many.
        camera.stdin.flush()
        stage.kill('w1')
        stage.processes['w1'] = stage.spawn(
            'w1', cluster=stage.home / 'before.yml')
        old.send_signal(signal.SIGCONT)
        code = old.wait(SECONDS)
        said = (stage.home / 'origin.log').read_text()
        last = said.splitlines()[-1]
        expect(code == 65 and 'status=fenced' in last and
               'a newer forwarder runs' in last, f'{code}: {last}')
    with stage.case('invariants 2 and 3: nothing that it took counts, and what '
                    'its successor stored is there, exact'):
        stage.kill('w1')
        stage.start('w1')
        stage.wait_live(*stage.names[1:])
        expect(camera.poll() is None, 'the push was told that it is stored')
        camera.kill()
        expect(stored(stage, 'cam') == SIZE, f'{stored(stage, "cam")} bytes')
        expect(stage.get('cam', '--range', f'0-{SIZE}').out
               == late.read_bytes(), 'other bytes')
        stage.expect_same('late', late)
        stage.expect_same('clip', clip)
end()
