"""Hosts of their own on one machine: network namespaces on bridges.

    with Hosts('demo', ['core', 'town']) as hosts:
        hosts.add('r1', 'town')
        subprocess.run([*hosts.inside('r1'), 'hostname', '-I'])
        hosts.cut('r1')      # Nothing comes or goes; its peers are not told.
        hosts.heal('r1')

Each LAN is a bridge in one more namespace, the hub, which also routes between
the LANs: multicast stays in its LAN, everything else gets anywhere. No host is
connected to this machine's own network. LAN n has the addresses 10.n.0.0/24,
the hub is .1 in each. Needs root.

What was made is known by its names alone, rill-TAG-HOST: a later process finds
it, and takes it away also when the one that made it was killed.
"""
import hashlib
import json
import os
import subprocess

HUB = 'hub'
FORWARDS, DISABLED = '3', '0'     # States of a bridge's port.
DEAF = 100                        # Preference of the rules that cut a LAN off.


class Refused(Exception):
    """The system does not do it; the text says what and why."""


def run(*args, stdin=None):
    done = subprocess.run(list(map(str, args)), input=stdin, text=True,
                          capture_output=True)
    if done.returncode:
        raise Refused(f'{" ".join(map(str, args))}: '
                      + (done.stderr.strip() or f'exit {done.returncode}'))
    return done.stdout


def needs_root():
    if os.geteuid() != 0:
        raise Refused('hosts of their own need root; run it with sudo')


def refusal():
    """Why this machine gives nobody hosts of their own, or None."""
    try:
        with Hosts(f'probe{os.getpid()}', ['core']) as hosts:
            hosts.add('one', 'core')
    except Refused as refused:
        return str(refused)


def short(name):
    """A name for an interface, of which the kernel takes 15 letters."""
    return 'v' + hashlib.sha1(name.encode()).hexdigest()[:12]


class Hosts:
    def __init__(self, tag, lans):
        """`lans`: their names, in the order of their numbers."""
        needs_root()
        self.tag, self.lans = tag, list(lans)
        if len(self.lans) > 255:
            raise Refused(f'{len(self.lans)} LANs; there are numbers for 255')

    def __enter__(self):
        self.make()
        return self

    def __exit__(self, *why):
        self.destroy()

    def space(self, host):
        return f'rill-{self.tag}-{host}'

    def inside(self, host=HUB):
        """What stands before a command that is to run at a host."""
        return ['ip', 'netns', 'exec', self.space(host)]

    def made(self):
        """The hosts there are."""
        spaces = json.loads(run('ip', '-j', 'netns', 'list') or '[]')
        begin = self.space('')
        return [s['name'][len(begin):] for s in spaces
                if s['name'].startswith(begin)]

    def ip(self, host, *lines):
        run('ip', '-n', self.space(host), '-batch', '-',
            stdin='\n'.join(lines) + '\n')

    #   Making

    def make(self):
        """The hub and the bridges; whatever bears these names is taken away
        before, for it is left from another life."""
        self.destroy()
        try:
            run('ip', 'netns', 'add', self.space(HUB))
            self.ip(HUB, 'link set lo up', *(
                line for lan, name in enumerate(self.lans) for line in
                (f'link add {short(name)} type bridge mcast_snooping 0',
                 f'addr add 10.{lan}.0.1/24 dev {short(name)}',
                 f'link set {short(name)} up')))
            run(*self.inside(), 'sh', '-c',
                'echo 1 > /proc/sys/net/ipv4/ip_forward')
        except BaseException:
            self.destroy()
            raise

    def add(self, host, lan, number=None):
        """Make a host in a LAN; returns its address. `number`: its last byte;
        None: the next."""
        lan = self.lans.index(lan)
        if number is None:
            number = 2 + len(self.ports(self.lans[lan]))
        if number > 254:
            raise Refused(f'{self.lans[lan]} has no room for {host}')
        address, port = f'10.{lan}.0.{number}', short(f'port {host}')
        run('ip', 'netns', 'add', self.space(host))
        self.ip(HUB, f'link add {port} type veth peer name eth0 netns '
                + self.space(host),
                f'link set {port} master {short(self.lans[lan])} up')
        self.ip(host, 'link set lo up', 'link set eth0 up',
                f'addr add {address}/24 dev eth0',
                f'route add default via 10.{lan}.0.1')
        return address

    def ports(self, lan):
        return json.loads(run('ip', '-n', self.space(HUB), '-j', 'link',
                              'show', 'master', short(lan)) or '[]')

    def destroy(self):
        """Take all away, with whatever still runs in it left to its owner."""
        for host in self.made():
            subprocess.run(['ip', 'netns', 'del', self.space(host)],
                           capture_output=True)

    #   Trouble

    def cut(self, what):
        """Cut a host off its LAN, or a LAN off the others."""
        self.set(what, DISABLED)

    def heal(self, what):
        self.set(what, FORWARDS)

    def set(self, what, state):
        if what in self.lans:
            self.deafen(what, state == DISABLED)
        else:
            run(*self.inside(), 'bridge', 'link', 'set', 'dev',
                short(f'port {what}'), 'state', state)

    def deafen(self, lan, on):
        """Drop what comes from a LAN or goes to it, but not what stays."""
        network = f'10.{self.lans.index(lan)}.0.0/24'
        rules = run('ip', '-n', self.space(HUB), 'rule')
        for way in ('from', 'to'):
            there = any(f'{way} {network}' in r and 'blackhole' in r
                        for r in rules.splitlines())
            if there != on:
                self.ip(HUB, f'rule {"add" if on else "del"} pref {DEAF} '
                        f'{way} {network} blackhole')

    def multicast(self, hosts, on):
        """Whether multicast reaches hosts; everything else does."""
        run(*self.inside(), 'bridge', '-batch', '-', stdin=''.join(
            f'link set dev {short(f"port {host}")} mcast_flood '
            f'{"on" if on else "off"}\n' for host in hosts))
