"""The tree's own rules, read from the tree. Prints each breach; exits 1 if any.

Length is advice, printed and never failed: a long file that is one thought is
better than two halves of one.
"""
import pathlib
import re
import shutil
import subprocess
import sys

TOPS = ('protocols', 'brokers', 'workers')
SOURCES = [p for top in TOPS + ('tests',)
           for p in sorted(pathlib.Path(top).rglob('*.[ch]'))]
FILE_LINES, FUNCTION_LINES = 400, 50
# Layer 1c: own files or a socket, decide nothing. Base and wire hold the only
# users of LevelDB, of the log's stream and of ZeroMQ's options.
DRIVERS = {'protocols/base', 'protocols/wire', 'workers/chunkstore',
           'workers/cli'}
# In a folder of rules and cores these alone touch the world: its actor, which
# bears the folder's name, its program, the client's transports, what lies in the
# forwarder's data directory, a cache's bus, links and keeper, and what reports it.
ACTORS = {'main', 'client', 'canvass', 'listener', 'storage', 'forwarder', 'cache',
          'director', 'relay', 'home', 'bus', 'links', 'keeper', 'reporter'}
WORLD = re.compile(
    r'\b(zsock|zactor|zloop|zpoller|zclock|zmsg|zframe|zmq|zsys|leveldb|'
    r'io_uring)_\w+\(|(?<![>.\w])(time|clock_gettime|gettimeofday|getrandom|s?rand|'
    r'random|p?(read|write)v?|open(at)?|fopen|printf|'
    r'fprintf|fputs|puts|sleep|usleep|nanosleep|socket|poll|fork|getenv)\(|'
    r'\bpthread_\w+\(')
LEVELDB = re.compile(r'\bleveldb_\w+\(|<leveldb/')
URING = re.compile(r'\bio_uring_\w+\(|<liburing')
ISAL = re.compile(r'<isa-l')
LATER = re.compile(r'\b(TODO|FIXME|XXX|HACK)\b')
breaches, advice = [], []


def breach(path, line, says):
    breaches.append(f'{path}:{line}: {says}')


def functions(lines):
    """Yield (line, name, length): a name at column 0, a brace, a closing one."""
    start = name = None
    for n, text in enumerate(lines, 1):
        if match := re.match(r'(\w+)\(', text):
            start, name = n, match[1]
        elif text == '}' and start:
            yield start, name, n - start + 1
            start = None


def is_pure(path):
    """Whether a file is a rule or a core: layer 1a and 1b."""
    return (path.parts[0] in TOPS and path.stem not in ACTORS
            and path.parent.as_posix() not in DRIVERS)


def only_in(path, line, text):
    """A library that has one user has it for good."""
    for what, pattern, users in (
            ('LevelDB', LEVELDB, {'protocols/base/kv.c'}),
            ('liburing', URING, {'workers/chunkstore/files_system.c'}),
            ('ISA-L', ISAL, {'protocols/wire/checksum.c',
                             'brokers/forwarder/parity.c'})):
        if path.parts[0] in TOPS and path.as_posix() not in users \
                and pattern.search(text):
            breach(path, line, f'{what} is used in {", ".join(users)} only')


def read_line(path, n, text):
    if re.match(r'#include ".*/', text) and 'rill/v1/' not in text:
        breach(path, n, 'includes by path; include by name, downward')
    code = re.sub(r'"(\\.|[^"\\])*"', '""', text.split('//')[0])
    if is_pure(path) and not text.startswith(' *') and WORLD.search(code):
        breach(path, n, 'a rule touches the world; only the actor may')
    only_in(path, n, code if '<' not in text else text)
    if LATER.search(text):
        breach(path, n, 'says that it is not finished')


def read(path):
    lines = path.read_text().splitlines()
    if len(lines) > FILE_LINES:
        advice.append(f'{path}: {len(lines)} lines; is it two thoughts?')
    for n, text in enumerate(lines, 1):
        read_line(path, n, text)
    for n, name, length in functions(lines):
        if length > FUNCTION_LINES:
            advice.append(f'{path}:{n}: {name} is {length} lines')
    opens = '/*  ' + path.stem + ' - '
    if path.suffix == '.h' and not (lines and lines[0].startswith(opens)):
        breach(path, 1, 'a header opens with its name and purpose')


def top_level():
    """Nothing else that a person sees is committed at the top of the tree."""
    meant = {'SConstruct', 'README.md', 'LICENSE', 'brokers', 'workers',
             'protocols', 'tests', 'scripts'}
    if not shutil.which('git'):
        return
    listed = subprocess.run(['git', 'ls-files'], stdout=subprocess.PIPE,
                            stderr=subprocess.DEVNULL, text=True).stdout
    for name in sorted({line.split('/')[0] for line in listed.splitlines()}):
        if name not in meant and not name.startswith('.'):
            breach(name, 0, 'does not belong at the top of the tree')


def main():
    for path in SOURCES:
        read(path)
    top_level()
    for line in advice:
        print(line)
    for line in breaches:
        print('not ok', line)
    if not breaches:
        print(f'ok {len(SOURCES)} files keep the shape of the tree')
    return bool(breaches)


if __name__ == '__main__':
    sys.exit(main())
