"""A stage whose nodes, and a terminal in each LAN, are hosts of their own."""
import sys

from stage import ROOT, Stage

sys.path.insert(0, str(ROOT / 'scripts'))
from hosts import Hosts

PORT = 5700


class Hosted(Stage):
    def __init__(self, tag, lans, **keys):
        """`lans`: the nodes of each LAN; `keys`: of the stage."""
        self.lans, self.hosts = lans, Hosts(tag, list(lans))
        super().__init__(**keys)

    def __exit__(self, *why):
        try:
            super().__exit__(*why)
        finally:
            self.hosts.destroy()

    def place_nodes(self):
        self.hosts.make()
        at = {name: f'{self.hosts.add(name, lan)}:{PORT}'
              for lan, names in self.lans.items() for name in names}
        for lan in self.lans:
            self.hosts.add(f'terminal.{lan}', lan)
        return at

    def terminal(self, lan):
        """What stands before a command of the LAN's terminal."""
        return self.hosts.inside(f'terminal.{lan}')

    def spawn(self, name, *args):
        return super().spawn(name, *args, before=self.hosts.inside(name))

    def begin(self, *args, lan='core', **more):
        return super().begin(*args, before=self.terminal(lan), **more)
