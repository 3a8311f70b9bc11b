"""What rill says: help, JSON, versions, logs."""
import json

from stage import BIN, STEADY, Stage, end, expect

VERBS = ('put', 'push', 'get', 'ls', 'stat', 'rm', 'status', 'where', 'nodes',
         'help')

with Stage(workers=2, patience=STEADY) as stage:
    clip = stage.file('clip', 100_000)
    with stage.case('help tells of every verb, error and key'):
        whole = stage.rill('help').expect(0).text
        for verb in VERBS:
            expect(f'rill {verb}' in whole, f'{verb} is not in the help')
            told = stage.rill('help', verb).expect(0).text
            expect(told == stage.rill(verb, '--help').expect(0).text, verb)
        expect('sysexits' in whole or '69' in whole, 'no exit codes')
        expect('unreachable' in stage.rill('help', 'errors').expect(0).text,
               'no errors')
        expect('patience' in stage.rill('help', 'cluster').expect(0).text,
               'no keys of the cluster file')
        stage.rill('help', 'nothing').expect_error(64, 'nothing')
    with stage.case('every program tells the same version'):
        version = stage.rill('--version').expect(0).text.split()[-1]
        for program in ('rill-forwarder', 'rill-storage', 'rill-cache',
                        'rill-director'):
            told = stage.run(BIN / program, '--version').expect(0).text
            expect(told.split()[-1] == version, f'{told}: {version}')
        told = stage.rill('status', '--json').expect(0).json()['version']
        expect(told == version, f'{told}: {version}')
    with stage.case('a sealed stream is not being written'):
        stage.put(clip, 'ended')
        told = stage.rill('stat', 'ended', '--json').expect(0).json()
        expect(told['sealed'] and not told['writing'], f'{told}')
        stage.rill('rm', 'ended').expect(0)
    with stage.case('every verb that prints speaks JSON'):
        out = stage.home / 'out'
        for verb in (['put', clip], ['push', 'pushed', clip],
                     ['get', 'clip', '-o', out], ['ls'], ['stat', 'clip'],
                     ['stat', 'clip', '--chunks'], ['status'],
                     ['nodes', '-f', stage.cluster], ['rm', 'pushed']):
            done = stage.rill(*verb, '--json').expect(0)
            expect(isinstance(done.json(), dict), f'{verb}: {done.text}')
            expect(not done.err, f'{verb} talks: {done.err}')
    with stage.case('without a terminal there is no progress, and what is '
                    'printed is on stdout'):
        done = stage.put(clip, 'quiet')
        expect(not done.err and 'quiet' in done.text, f'{done.err} {done.text}')
        done = stage.get('quiet')
        expect(not done.err and len(done.out) == 100_000, f'{done.err}')
    with stage.case('--log json: every line of the log is an object'):
        stage.stop('w2')
        stage.processes['w2'] = stage.spawn('w2', '--log', 'json', '--verbose')
        stage.wait_said('w2', '"ready"')
        stage.wait_live('w1', 'w2')
        stage.put(clip, 'logged')
        stage.stop('w2')
        events = [json.loads(line) for line in stage.said('w2').splitlines()]
        expect({'ready', 'stopping'} <= {e['event'] for e in events},
               f'{events}')
        expect(all(e['node'] == 'w2' for e in events), f'{events}')
end()
