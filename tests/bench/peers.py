"""What rill is measured beside, started for one measurement and ended after it.

Every peer is a plain program of a Debian package, run in the foreground in a
folder and on ports of its own; no service is started or touched. One that is
not there or does not begin to answer raises Absent, with the reason: its rows
are left out.
"""
import contextlib
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
BUILD = ROOT / 'build' / 'bench'
PATH = os.environ.get('PATH', '') + ':/usr/sbin:/sbin'
TICKS = os.sysconf('SC_CLK_TCK')


class Absent(Exception):
    """A peer that cannot be had; the text says why."""


def free_port():
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        return probe.getsockname()[1]


def program(name):
    found = shutil.which(name, path=PATH)
    if not found:
        raise Absent(f'{name} is not installed')
    return found


def ran(name, *args, **how):
    """What a program said, run to its end."""
    try:
        done = subprocess.run([program(name), *map(str, args)], text=True,
                              stdin=subprocess.DEVNULL, capture_output=True,
                              **how)
    except OSError as why:
        raise Absent(f'{name} does not start: {why}') from why
    if done.returncode:
        raise Absent(f'{name}: {(done.stderr or done.stdout)[-400:]}')
    return done.stdout


def cpu_of(pids):
    """CPU seconds that these processes, and children they waited for, took."""
    ticks = 0
    for pid in pids:
        fields = pathlib.Path(f'/proc/{pid}/stat').read_text().rpartition(')')[2]
        ticks += sum(map(int, fields.split()[11:15]))
    return ticks / TICKS


def children_of(pid):
    """A process and all below it."""
    found = [pid]
    for one in found:
        for task in pathlib.Path(f'/proc/{one}/task').glob('*/children'):
            found += map(int, task.read_text().split())
    return found


class Peer:
    """One program in the foreground, answering at `port`."""

    def __init__(self, name, command, home):
        self.name, self.home, self.port = name, home, None
        self.command = command
        self.process = None

    def start(self, port):
        self.port = port
        log = open(self.home / f'{self.name}.log', 'ab')
        with log:
            self.process = subprocess.Popen(
                ['setpriv', '--pdeathsig', 'KILL', *map(str, self.command)],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.home,
                start_new_session=True)
        until = time.monotonic() + 20
        while time.monotonic() < until:
            if self.process.poll() is not None:
                break
            with contextlib.suppress(OSError):
                socket.create_connection(('127.0.0.1', port), 1).close()
                return self
            time.sleep(0.05)
        said = self.said()
        self.end()
        raise Absent(f'{self.name} does not start: {said}')

    def said(self):
        """The end of each of its logs, and how it ended if it did."""
        logs = [log.read_text(errors='replace')[-600:].strip()
                for log in self.home.glob('*.log')]
        code = self.process.poll()
        return '\n'.join([*filter(None, logs),
                          *[f'it ended with {code}'] * (code is not None)])

    def cpu(self):
        return cpu_of(children_of(self.process.pid))

    def end(self):
        if self.process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGTERM)
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait()


@contextlib.contextmanager
def folder():
    """A folder beside what is measured: on the same disk, gone afterwards."""
    BUILD.mkdir(parents=True, exist_ok=True)
    home = pathlib.Path(tempfile.mkdtemp(prefix='peer-', dir=BUILD))
    home.chmod(0o755)
    try:
        yield home
    finally:
        shutil.rmtree(home, ignore_errors=True)


@contextlib.contextmanager
def running(name, command, home, port):
    peer = Peer(name, command, home).start(port)
    try:
        yield peer
    finally:
        peer.end()


@contextlib.contextmanager
def jetstream():
    """NATS with its file store. It acknowledges before the disk has it."""
    with folder() as home:
        port = free_port()
        conf = home / 'nats.conf'
        conf.write_text(f'listen: "127.0.0.1:{port}"\n'
                        'max_payload: 8MB\nmax_pending: 256MB\n'
                        f'jetstream {{ store_dir: "{home}/store"\n'
                        '  max_mem: 64MB\n  max_file: 20GB }\n')
        with running('nats-server', [program('nats-server'), '-c', conf], home,
                     port) as peer:
            yield peer


@contextlib.contextmanager
def redis():
    """Redis that appends to its file and syncs it before each answer."""
    with folder() as home:
        port = free_port()
        with running('redis-server',
                     [program('redis-server'), '--port', port, '--bind',
                      '127.0.0.1', '--dir', home, '--appendonly', 'yes',
                      '--appendfsync', 'always', '--save', '',
                      '--auto-aof-rewrite-percentage', '0'], home, port) as peer:
            yield peer


NGINX = '''
daemon off; worker_processes {workers}; pid {home}/nginx.pid;
error_log {home}/error.log warn; user root;
events {{ worker_connections 1024; }}
http {{
  access_log off; sendfile on; tcp_nopush on; keepalive_requests 1000000;
  client_body_temp_path {home}/body; fastcgi_temp_path {home}/fastcgi;
  uwsgi_temp_path {home}/uwsgi; scgi_temp_path {home}/scgi;
  proxy_temp_path {home}/proxy;
  proxy_cache_path {home}/cache keys_zone=all:10m;
  server {{
    listen 127.0.0.1:{port};
    location / {{
      proxy_pass http://127.0.0.1:{origin};
      proxy_cache all; proxy_cache_valid 200 1h;
      proxy_http_version 1.1;
      proxy_cache_lock {lock}; proxy_cache_lock_timeout 30s;
      proxy_cache_lock_age 30s;
    }}
  }}
}}
'''


@contextlib.contextmanager
def nginx(origin, lock, workers=1):
    with folder() as home:
        port = free_port()
        conf = home / 'nginx.conf'
        conf.write_text(NGINX.format(home=home, port=port, origin=origin,
                                     workers=workers,
                                     lock='on' if lock else 'off'))
        with running('nginx', [program('nginx'), '-c', conf, '-p', home], home,
                     port) as peer:
            yield peer


RTMP = '''
load_module /usr/lib/nginx/modules/ngx_rtmp_module.so;
daemon off; worker_processes 1; pid {home}/nginx.pid;
error_log {home}/error.log warn; user root;
events {{ worker_connections 1024; }}
rtmp {{
  access_log off;
  server {{
    listen 127.0.0.1:{port};
    application live {{ live on; {pull} }}
  }}
}}
'''


@contextlib.contextmanager
def rtmp(origin=None):
    """nginx-rtmp that is published to, or the edge of one at a port."""
    with folder() as home:
        port = free_port()
        conf = home / 'nginx.conf'
        pull = f'pull rtmp://127.0.0.1:{origin}/live;' if origin else ''
        conf.write_text(RTMP.format(home=home, port=port, pull=pull))
        with running('nginx-rtmp', [program('nginx'), '-c', conf, '-p', home],
                     home, port) as peer:
            yield peer


SQUID = '''
http_port 127.0.0.1:{port} accel defaultsite=127.0.0.1 no-vhost
cache_peer 127.0.0.1 parent {origin} 0 no-query originserver
http_access allow all
collapsed_forwarding on
cache_mem 64 MB
maximum_object_size_in_memory 8 MB
cache_store_log none
access_log none
cache_log {home}/cache.log
pid_filename {home}/squid.pid
coredump_dir {home}
netdb_filename none
pinger_enable off
shutdown_lifetime 0 seconds
'''


@contextlib.contextmanager
def squid(origin):
    with folder() as home:
        home.chmod(0o777)    # It gives up being root.
        port = free_port()
        conf = home / 'squid.conf'
        conf.write_text(SQUID.format(home=home, port=port, origin=origin))
        with running('squid', [program('squid'), '-N', '-f', conf], home,
                     port) as peer:
            yield peer


@contextlib.contextmanager
def varnish(origin):
    with folder() as home:
        port = free_port()
        with running('varnishd',
                     [program('varnishd'), '-F', '-n', home / 'work', '-a',
                      f'127.0.0.1:{port}', '-b', f'127.0.0.1:{origin}', '-s',
                      'malloc,64m'], home, port) as peer:
            yield peer
