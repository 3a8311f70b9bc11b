"""A node tells how it is over HTTP: its counters, whether it lives, whether it
serves; a real Prometheus scrapes them, and all that is asked of it is answered.
"""
import fcntl
import http.client
import json
import os
import pty
import re
import signal
import socket
import struct
import subprocess
import termios
import urllib.parse
import urllib.request

from stage import BIN, ROOT, WITH_US, Stage, end, expect, stored, wait_for

MONITORING = ROOT / 'scripts/monitoring'

GROUPS = {'town': 'parents: [origin], siblings: unicast'}
CACHES = {'c1': 'town', 'c2': 'town'}


class Watched(Stage):
    def metrics_at(self, name):
        return self.rill('status', '--json',
                         at=self.at[name]).expect(0).json()['metrics_at']

    def http(self, name, path='/metrics', method='GET'):
        """Code and text of an answer."""
        asker = http.client.HTTPConnection(self.ats[name], timeout=60)
        asker.request(method, path)
        answer = asker.getresponse()
        text = answer.read().decode()
        asker.close()
        return answer.status, text

    def value(self, name, series):
        code, text = self.http(name)
        expect(code == 200, f'{name}: {code}')
        return next((float(line.rpartition(' ')[2])
                     for line in text.splitlines()
                     if line.startswith(series + ' ')), None)


def raw(at, *parts):
    host, port = at.split(':')
    wire = socket.create_connection((host, int(port)), timeout=60)
    for part in parts:
        try:
            wire.sendall(part)
        except OSError:
            break
    return wire


def answer(wire):
    said = b''
    try:
        while piece := wire.recv(65536):
            said += piece
    except OSError:
        pass
    wire.close()
    return said


def check_metrics(text):
    done = subprocess.run(['promtool', 'check', 'metrics'], input=text,
                          capture_output=True, text=True)
    expect(done.returncode == 0 and not done.stderr and not done.stdout,
           f'promtool: {done.stdout}{done.stderr}')


def garbage(stage, *names):
    """What is no request, or too much of one, ends or is refused."""
    wires = []
    for parts in ([b'\x00\xff\x16\x03\x01' * 100 + b'\r\n\r\n'],
                  [os.urandom(20_000)],
                  [b'GET /metrics HTTP/1.1\r\n'
                   + b''.join(b'x%d: %s\r\n' % (n, b'y' * 1000)
                              for n in range(100)) + b'\r\n'],
                  [b'GET /' + b'a' * 100_000 + b' HTTP/1.1\r\n\r\n']):
        wires += [raw(stage.ats[name], *parts) for name in names]
    for wire in wires:
        said = answer(wire)
        expect(not said or said.split()[1] in (b'400', b'413', b'414', b'431'),
               f'{said[:100]}')
    for name in names:
        others(stage, name)


def others(stage, name):
    for path, method, code in (('/', 'GET', 404), ('/metrics/', 'GET', 404),
                               ('/../etc/passwd', 'GET', 404),
                               ('/metrics', 'POST', 405),
                               ('/healthz', 'DELETE', 405),
                               ('/readyz', 'PUT', 405)):
        expect(stage.http(name, path, method)[0] == code, f'{method} {path}')
    expect(stage.http(name, '/metrics', 'HEAD') == (200, ''), 'HEAD')


def top(stage, *args, at='director'):
    return stage.rill('top', *args, '--at', stage.at[at]).expect(0)


def on_a_terminal(stage, rows, columns):
    """What `rill top` draws first and again on a terminal that is made
    smaller."""
    near, far = pty.openpty()
    fcntl.ioctl(far, termios.TIOCSWINSZ, struct.pack('4H', rows, columns, 0, 0))
    process = subprocess.Popen([BIN / 'rill', 'top', '--at',
                                stage.at['director']], stdout=far)
    drawn = b''
    while drawn.count(b'\x1b[H') < 2:
        drawn += os.read(near, 65536)
    fcntl.ioctl(far, termios.TIOCSWINSZ, struct.pack('4H', 5, 20, 0, 0))
    while drawn.count(b'\x1b[H') < 5:
        drawn += os.read(near, 65536)
    process.kill()
    process.wait()
    os.close(far)
    os.close(near)
    return [screen.decode().replace('\x1b[2J', '').split('\r\n')
            for screen in drawn.split(b'\x1b[H')[1:]]


def one_screen(stage):
    with stage.case('rill top shows all nodes and workers on one screen'):
        told = top(stage, '-1', '--json').json()
        expect([n['node'] for n in told['nodes']] == ['origin', 'c1', 'c2'] and
               [w['node'] for w in told['workers']] == stage.workers, f'{told}')
        expect(all(n['answers'] for n in told['nodes'] + told['workers']),
               f'{told}')
        expect(told['acknowledgement_ms'] >= 0
               and told['workers'][0]['commit_ms'] >= 0, f'{told}')
        text = top(stage).text
        expect(all(name in text for name in stage.names), text)
        told = top(stage, '--json', at='origin').json()
        expect(len(told['workers']) == 3 and len(told['nodes']) == 1, told)
    with stage.case('rill top fits a terminal, also one that is made smaller'):
        screens = on_a_terminal(stage, 8, 40)
        expect(len(screens[0]) <= 8 and all(len(line) <= 40
                                            for line in screens[0][:-1]),
               f'{screens[0]}')
        expect(len(screens[-2]) <= 5 and all(len(line) <= 20
                                             for line in screens[-2][:-1]),
               f'{screens[-2]}')
    with stage.case('rill top says what is wrong: a node that hangs'):
        stage.processes['c2'].send_signal(signal.SIGSTOP)
        try:
            wrong = top(stage, '--json').json()['wrong']
            expect('c2 is silent' in wrong, wrong)
        finally:
            stage.processes['c2'].send_signal(signal.SIGCONT)


class Prometheus:
    """A real one, which scrapes the stage's nodes each second under the rules
    that come with rill."""

    def __init__(self, stage):
        self.at = f'127.0.0.1:{stage.other_port()}'
        home = stage.home / 'prometheus'
        home.mkdir()
        (home / 'prometheus.yml').write_text(json.dumps({
            'global': {'scrape_interval': '1s', 'evaluation_interval': '1s'},
            'rule_files': [str(MONITORING / 'alerts.yml')],
            'scrape_configs': [{'job_name': 'rill', 'static_configs': [
                {'targets': list(stage.ats.values())}]}]}))
        self.log = open(home / 'log', 'wb')
        self.process = subprocess.Popen(
            [*WITH_US, 'prometheus', f'--config.file={home}/prometheus.yml',
             f'--storage.tsdb.path={home}/data', '--log.level=warn',
             f'--web.listen-address={self.at}'], stdout=self.log,
            stderr=subprocess.STDOUT)
        stage.others.append(self.process)

    def ask(self, path, **what):
        """The data of an answer; None: it does not answer yet."""
        try:
            with urllib.request.urlopen(f'http://{self.at}/api/v1/{path}?'
                                        + urllib.parse.urlencode(what)) as said:
                return json.load(said)['data']
        except (urllib.error.HTTPError, urllib.error.URLError) as error:
            if isinstance(error, urllib.error.HTTPError) and error.code == 400:
                return {'error': error.read().decode()}

    def asked(self, expression):
        said = self.ask('query', query=expression)
        expect('error' not in said, f'{expression}: {said}')
        return said['result']


def expressions():
    dashboard = json.loads((MONITORING / 'dashboard.json').read_text())
    return [target['expr'].replace('$__rate_interval', '30s')
            for panel in dashboard['panels']
            for target in panel.get('targets', ())]


def monitored(stage, prometheus):
    with stage.case('a real Prometheus scrapes every node, and every '
                    'expression of the dashboard has an answer'):
        wait_for(lambda: prometheus.ask('query', query='up'), 'it answers')
        wait_for(lambda: sum(t['health'] == 'up' for t in prometheus.ask(
            'targets')['activeTargets']) == len(stage.names), 'all are up')
        #   A rate needs two samples.
        for expression in expressions():
            wait_for(lambda: prometheus.asked(expression),
                     f'nothing is said of {expression}')
    with stage.case('the alert rules pass their tests, are all taken by it, and '
                    'none fires while nothing is wrong'):
        done = subprocess.run(['promtool', 'test', 'rules',
                               MONITORING / 'alerts_test.yml'],
                              capture_output=True, text=True)
        expect(done.returncode == 0, done.stdout + done.stderr)
        rules = wait_for(lambda: [
            rule for group in prometheus.ask('rules')['groups']
            for rule in group['rules']], 'it has rules')
        wait_for(lambda: all(
            rule['health'] == 'ok' for group in prometheus.ask('rules')[
                'groups'] for rule in group['rules']), 'each was looked at')
        expect(len(rules) >= 13, f'{len(rules)}')
        firing = [r['name'] for r in rules if r['state'] == 'firing']
        expect(not firing, f'{firing}')
    with stage.case('every family of the rules and the dashboard is told by '
                    'some node'):
        told = ''.join(stage.http(name)[1] for name in stage.names)
        asked = ' '.join([*expressions(),
                          (MONITORING / 'alerts.yml').read_text()])
        for family in set(re.findall(r'rill_[a-z_]+', asked)):
            expect(f'{family} ' in told or f'{family}{{' in told, family)


def main():
    with Watched(workers=3, groups=GROUPS, caches=CACHES, start=False,
                 director='rules: [light]') as stage:
        stage.start('origin')
        stage.ats = {'origin': stage.metrics_at('origin')}
        with stage.case('readyz: a forwarder without workers says so, and is '
                        'ready when they are there'):
            code, text = stage.http('origin', '/readyz')
            expect(code == 503 and 'too few workers' in text, f'{code}: {text}')
            expect(stage.http('origin', '/healthz') == (200, 'ok\n'), 'healthz')
            expect(stage.value('origin', 'rill_ready') == 0, 'rill_ready')
            stage.start(*stage.names[1:])
            stage.wait_live(*stage.workers)
            stage.ats = {n: stage.metrics_at(n) for n in stage.names}
            for name in stage.names:
                wait_for(lambda: stage.http(name, '/readyz') ==
                         (200, 'ready\n'), f'{name} is ready')
        prometheus = Prometheus(stage)
        clip = stage.file('clip', 8_000_000)
        stage.put(clip)
        source = stage.begin('push', 'cam', '-')
        source.stdin.write(bytes(3_000_000))
        source.stdin.flush()
        wait_for(lambda: stored(stage, 'cam'), 'cam is stored')
        watcher = stage.begin('watch', 'cam', '--from', 'start', '-o',
                              '/dev/null', at=stage.at['c1'])
        wait_for(lambda: stage.value('c1', 'rill_sessions') == 1, 'it watches')
        stage.rill('get', 'clip', '-o', '/dev/null', at=stage.at['c2']
                   ).expect(0)
        with stage.case('counters 1: what each node tells is clean for '
                        'promtool'):
            for name in ('origin', 'w1', 'c1', 'director'):
                code, text = stage.http(name)
                expect(code == 200, f'{name}: {code}')
                check_metrics(text)
        with stage.case('counters 1: a report and HTTP tell the same'):
            told = stage.rill('status', '--json', at=stage.at['c2']
                              ).expect(0).json()['counters']
            name = 'rill_chunks_taken_total{route="parent"}'
            expect(stage.value('c2', name) > 0 and stage.value('c2', name) ==
                   {c['name']: c['value'] for c in told}[name], f'{told}')
        with stage.case('metrics 2: one answer ends a connection'):
            said = answer(raw(stage.ats['c1'], b'GET /healthz HTTP/1.1\r\n'
                              b'Host: x\r\n\r\n' * 2))
            expect(said.count(b'HTTP/1.1 200') == 1, f'{said}')
        with stage.case('metrics 3: streams are told by their names'):
            name = 'rill_stream_watchers{stream="cam"}'
            expect(stage.value('c1', name) == 1, stage.http('c1')[1])
        monitored(stage, prometheus)
        with stage.case('metrics 1: garbage and other requests are refused by '
                        'every node, which goes on'):
            garbage(stage, 'origin', 'w1', 'c1', 'director')
        with stage.case('metrics 1, invariant 18: 1,000 connections that say '
                        'nothing, and who reads nothing, hinder nobody'):
            idle = [raw(stage.ats['c1']) for _ in range(1000)]
            deaf = [raw(stage.ats['c1'], b'GET /metrics HTTP/1.1\r\n'
                        b'Host: x\r\n\r\n') for _ in range(100)]
            slow = [raw(stage.ats['c1'], b'GET /met') for _ in range(100)]
            check_metrics(stage.http('c1')[1])
            expect(stage.rill('get', 'clip', '-o', '-', at=stage.at['c1'])
                   .expect(0).out == clip.read_bytes(), 'other bytes')
            open_now = len(os.listdir(
                f'/proc/{stage.processes["c1"].pid}/fd'))
            expect(open_now < 300, f'{open_now} descriptors')
            for wire in idle + deaf + slow:
                wire.close()
        one_screen(stage)
        source.stdin.close()
        expect(source.wait() == 0 and watcher.wait(60) == 0, 'it ends')
    end()


main()
