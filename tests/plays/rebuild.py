"""A catalogue that is lost, damaged or old is refused, and made again (R16)."""
import pathlib
import re
import shutil

from stage import SECONDS, SLOW, Stage, end, expect, wait_for

SIZE = 3_000_001
#   What a rebuilt stream must say as it did.
SAME = ('stream', 'kind', 'sealed', 'size', 'first', 'stored', 'settled',
        'protection', 'asked', 'extents', 'under_protected', 'holes')


class Content:
    """What was put, and must come back."""

    def __init__(self, stage):
        self.stage = stage
        self.clip = stage.file('clip', SIZE)
        stage.put(self.clip)
        stage.put(self.clip, 'narrow', '--protect', '1+1')
        stage.put(stage.file('none', 0))
        stage.put(self.clip, 'gone')
        stage.rill('rm', 'gone').expect(0)
        #   One that stays open, and one that another source took over.
        self.tail = self.push('tail', stage.file('tail', 700_000, seed=5))
        #   Behind a restart there is a hole between them.
        self.two = self.push('two', stage.file('two', 300_000, seed=6))
        stage.kill('origin')
        stage.start('origin')
        stage.wait_live(*stage.names[1:])
        self.more = self.push('two', stage.file('more', 200_000, seed=7),
                              self.two.stat().st_size)
        self.names = ('clip', 'narrow', 'none', 'tail', 'two')
        self.was = {name: stage.stat(name) for name in self.names}

    def push(self, name, path, before=0):
        """Push a file and break off when all of it is settled."""
        with self.stage.begin('push', name, '-', '--buffer', '20ms') as push:
            push.stdin.write(path.read_bytes())
            push.stdin.flush()

            def settled():
                done = self.stage.rill('stat', name, '--json')
                is_so = done.json() if done.code == 0 else {'settled': 0}
                holes = sum(h['to'] - h['from'] for h in is_so.get('holes', ()))
                return is_so['settled'] - holes == before + path.stat().st_size
            wait_for(settled, f'{name} is settled')
            push.kill()
        #   Its lease is over when the forwarder says so.
        wait_for(lambda: not self.stage.stat(name)['writing'],
                 f'nobody writes {name}', 3 * SECONDS)
        return path

    def expect_all(self):
        """Every byte, every word as it was."""
        stage = self.stage
        stage.wait_live(*stage.names[1:])
        wait_for(lambda: all(stage.stat(name)['state'] != 'recovering'
                             for name in self.names), 'all are recovered')
        stage.expect_same('clip', self.clip)
        stage.expect_same('narrow', self.clip)
        stage.expect_same('none', stage.home / 'none')
        self.expect_range('tail', 0, self.tail)
        self.expect_range('two', 0, self.two)
        hole = self.was['two']['holes'][0]
        self.expect_range('two', hole['to'], self.more)
        for name, was in self.was.items():
            now = stage.stat(name)
            for key in SAME:
                expect(was[key] == now[key], f'{name}: {key} was {was[key]}, '
                       f'is {now[key]}')
        stage.rill('stat', 'gone').expect(1)

    def expect_range(self, name, begin, path):
        size = path.stat().st_size
        done = self.stage.get(name, '--range', f'{begin}-{begin + size}')
        expect(done.out == path.read_bytes(), f'{name} from {begin} on')


def crc32c(raw):
    """Castagnoli's, of RFC 3720, as the identity has it."""
    crc = 0xffffffff
    for byte in raw:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82f63b78 if crc & 1 else 0)
    return crc ^ 0xffffffff


def data(stage):
    return stage.home / 'origin' / 'catalogue'


def refused(stage, *words, args=()):
    """The forwarder does not start: what, where, what to do."""
    process = stage.spawn('origin', *args)
    code = process.wait(SECONDS)
    said = stage.said('origin')
    expect(code == 65, f'exit {code}: {said}')
    for word in words:
        expect(word in said, f'no "{word}" in {said}')


def rebuild(stage, *args):
    stage.processes['origin'] = stage.spawn('origin', '--rebuild', *args)
    stage.wait_said('origin', r'\bready\b.*\brole=')


def one(folder, pattern):
    """The largest file of a kind: that has the most to lose."""
    return max(folder.glob(pattern), key=lambda path: path.stat().st_size)


def flip(path, at=None):
    """Flip one bit, in the middle if nothing else is said."""
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2 if at is None else at] ^= 0x10
    path.write_bytes(raw)


def remove(folder):
    shutil.rmtree(folder)


def remove_current(folder):
    (folder / 'CURRENT').unlink()


def cut_log(folder):
    """As a disk that lost the end of a file does."""
    log = one(folder, '*.log')
    raw = log.read_bytes()
    log.write_bytes(raw[:len(raw) // 2])


def empty_log(folder):
    one(folder, '*.log').write_bytes(b'')


def flip_log(folder):
    flip(one(folder, '*.log'))


def flip_current(folder):
    flip(folder / 'CURRENT')


def flip_manifest(folder):
    flip(one(folder, 'MANIFEST-*'))


DAMAGES = {
    'is gone': remove,
    'lost its CURRENT': remove_current,
    'is cut': cut_log,
    'lost its log': empty_log,
    'has a flipped bit in its log': flip_log,
    'has a flipped bit in its CURRENT': flip_current,
    'has a flipped bit in its MANIFEST': flip_manifest,
}


def damaged(stage, content):
    """Whatever is done to the catalogue: refused, then rebuilt, exact."""
    for says, damage in DAMAGES.items():
        with stage.case(f'invariant 11: a catalogue that {says} is refused, '
                        'and rebuilt byte for byte'):
            stage.kill('origin')
            damage(data(stage))
            refused(stage, '--rebuild', str(stage.home / 'origin'))
            rebuild(stage)
            content.expect_all()


def restored(stage, content):
    """An older copy, of the directory or of all that the forwarder has."""
    origin, copy = stage.home / 'origin', stage.home / 'copy'
    for part in ('catalogue', ''):
        with stage.case('home 1, invariant 11: an older copy of '
                        + (part or 'the whole directory')
                        + ' serves nobody, and is rebuilt'):
            stage.stop('origin')
            shutil.rmtree(copy, ignore_errors=True)
            shutil.copytree(origin, copy)
            stage.start('origin')
            stage.wait_live(*stage.names[1:])
            late = f'late-{part or "all"}'
            stage.put(content.clip, late)
            stage.kill('origin')
            shutil.rmtree(origin / part)
            shutil.copytree(copy / part, origin / part)
            if part:
                refused(stage, '--rebuild', 'older copy')
            else:       # Only the workers can tell.
                for _ in range(2):
                    refused(stage, '--rebuild')
            rebuild(stage)
            content.expect_all()
            stage.expect_same(late, content.clip)


def waits(stage, content):
    """Nothing is recorded before all have answered; what is lost is said."""
    with stage.case('a rebuild says for whom it waits, and goes on when they '
                    'are there'):
        stage.kill('origin', 'w3')
        remove(data(stage))
        stage.processes['origin'] = stage.spawn('origin', '--rebuild')
        stage.wait_said('origin', r'rebuild-waits.*for=w3')
        done = stage.rill('stat', 'clip')
        expect(done.code == 75, f'served meanwhile: {done.code} {done.err}')
        #   Broken off, it is not taken for a whole one.
        stage.kill('origin')
        refused(stage, '--rebuild')
        stage.processes['origin'] = stage.spawn('origin', '--rebuild')
        stage.start('w3')
        stage.wait_said('origin', r'\bready\b.*\brole=')
        content.expect_all()
    with stage.case('invariant 11: what would be lost is named, and never '
                    'lost without --accept-loss'):
        stage.kill('origin', 'w1', 'w2', 'w3')
        for name in ('w1', 'w2', 'w3'):     # More than any code bears.
            shutil.move(stage.home / name, stage.home / f'{name}.away')
        remove(data(stage))
        stage.processes['origin'] = stage.spawn('origin', '--rebuild')
        stage.start('w1', 'w2', 'w3')
        stage.wait_said('origin', r'rebuild-loses.*stream=')
        stage.wait_said('origin', r'rebuild-waits.*absent_stores=3')
        stage.wait_said('origin', r'--accept-loss')
        expect('ready' not in stage.said('origin'), 'it serves')
        stage.kill('origin', 'w1', 'w2', 'w3')
        for name in ('w1', 'w2', 'w3'):
            shutil.rmtree(stage.home / name)
            shutil.move(stage.home / f'{name}.away', stage.home / name)
        stage.start('w1', 'w2', 'w3')
        rebuild(stage)
        content.expect_all()


def versions(stage):
    """A directory that another program wrote is left alone."""
    with stage.case('a data directory of another version is refused, with '
                    'what to do'):
        stage.stop('origin')
        identity = stage.home / 'origin' / 'identity'
        was = identity.read_text()
        identity.write_text(re.sub(r'^rill-forwarder \d+', 'rill-forwarder 9',
                                   was))
        for args in ((), ('--rebuild',)):
            refused(stage, 'version 9', str(identity), 'program', args=args)
        identity.write_text(was)
        stage.start('origin')
        #   Open streams are recovered with all workers, not with one less.
        content.expect_all()
    with stage.case('so is a worker\'s'):
        stage.stop('w1')
        identity = stage.home / 'w1' / 'identity'
        was = identity.read_bytes()
        raw = was[:4] + (9).to_bytes(4, 'little') + was[8:44]
        identity.write_bytes(raw + crc32c(raw).to_bytes(4, 'little'))
        process = stage.spawn('w1')
        code, said = process.wait(SECONDS), stage.said('w1')
        expect(code == 65 and str(identity) in said and 'version' in said
               and 'program' in said, f'exit {code}: {said}')
        identity.write_bytes(was)
        stage.start('w1')
        content.expect_all()


with Stage(patience=2 if SLOW else 1) as stage:
    content = Content(stage)
    damaged(stage, content)
    restored(stage, content)
    waits(stage, content)
    versions(stage)
end()
