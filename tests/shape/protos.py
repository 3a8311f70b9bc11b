"""The contract keeps its own rules: what is said in version 1 stays said.

  protos.py            lint, compare with tests/shape/buf/v1.binpb, protoc-c
  protos.py --write    freeze what was added, if it breaks nothing
"""
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
PROTOS, FROZEN = ROOT / 'protocols', ROOT / 'tests/shape/buf/v1.binpb'
HOME = ROOT / 'build/buf'
BUF = HOME / 'node_modules/.bin/buf'
#   What must not pass, in one file each: what is sought there, and instead.
BREACHES = {
    'a field that is gone': ('edge.proto', r'  uint64 credit = 8;.*\n', ''),
    'a field of another number': ('ingest.proto', r'token = 3;', 'token = 33;'),
    'a field of another type': ('chunk.proto', r'uint64 epoch', 'string epoch'),
    'a field of another name': ('tier.proto', r'place = 1;', 'spot = 1;'),
    'a status that is gone': ('status.proto', r'  STATUS_GONE = 23;.*\n', ''),
}
failures = 0


def case(says, done, passes=True):
    global failures
    ok = (done.returncode == 0) == passes
    failures += not ok
    print(f'{"ok" if ok else "not ok"} {says}')
    if not ok:
        print(f'# exit {done.returncode}: {done.stdout}')


def run(*command, cwd=ROOT):
    return subprocess.run([str(c) for c in command], cwd=cwd, text=True,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT)


def install():
    """buf as the lock file has it, unless it is there."""
    lock, made = FROZEN.parent / 'package-lock.json', HOME / '.made'
    if made.exists() and made.read_bytes() == lock.read_bytes():
        return run('true')
    HOME.mkdir(parents=True, exist_ok=True)
    for name in ('package.json', 'package-lock.json'):
        shutil.copy(FROZEN.parent / name, HOME / name)
    done = run('npm', 'ci', '--ignore-scripts', '--no-audit', '--no-fund',
               '--loglevel=error', cwd=HOME)
    if done.returncode == 0:
        shutil.copy(lock, made)
    return done


def breaking(folder):
    return run(BUF, 'breaking', folder, '--against', FROZEN)


def main():
    installed = install()
    if installed.returncode:
        case('buf can be installed', installed)
        return 1
    compared = breaking(PROTOS)
    case('nothing of version 1 is edited, renumbered, renamed or removed',
         compared)
    if sys.argv[1:] == ['--write'] and compared.returncode == 0:
        case('it is frozen', run(BUF, 'build', PROTOS, '--exclude-source-info',
                                 '-o', FROZEN))
    case('the contract passes every rule of buf lint',
         run(BUF, 'lint', PROTOS))
    with tempfile.TemporaryDirectory(prefix='rill-protos-') as made:
        done = run('protoc', f'-I{PROTOS}', f'--c_out={made}',
                   *sorted(PROTOS.glob('rill/v1/*.proto')))
        done.returncode = done.returncode or len(done.stdout)
        case('protoc-c takes the contract without a word', done)
        for says, (name, sought, instead) in BREACHES.items():
            copy = pathlib.Path(made) / name
            shutil.copytree(PROTOS, copy, ignore=lambda folder, names: [
                n for n in names if not (pathlib.Path(folder) / n).is_dir()
                and not n.endswith(('.proto', 'buf.yaml'))])
            path = copy / 'rill/v1' / name
            text, count = re.subn(sought, instead, path.read_text(), count=1)
            path.write_text(text)
            case(f'{says} is found', breaking(copy), passes=count == 0)
    return 1 if failures else 0


sys.exit(main())
