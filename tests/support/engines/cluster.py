"""A whole Slurm below one folder: nodes that are processes of this machine, GPUs that are not there, real accounting.

Everything it writes and every socket is in its folder, every port is free when it starts, and it ends with its owner's
`stop`. Needs root and the programs of Debian's packages, which `make test-engines` installs.
"""

import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import psutil

from tests.support.engines.network import free_ports, listens

PROGRAMS = ("munged", "mariadbd", "mariadb-install-db", "slurmdbd", "slurmctld", "slurmd", "sbatch", "sacct")
NODES = ("n1", "n2")
GPUS = 4  # of each node
PATIENCE = 60  # seconds until something of the cluster has happened

SLURM = """
ClusterName=fake
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
# How long a job that is queued again waits: two minutes by default.
AuthInfo=socket={folder}/munge.socket,cred_expire=5
CredType=cred/munge
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.%n.pid
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool/%n
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
MailProg=/bin/true
ReturnToService=2
# A node that is silent for so long is down.
SlurmdTimeout=10
InactiveLimit=0
KillWait=15
SchedulerType=sched/backfill
SchedulerParameters=sched_min_interval=100000,bf_interval=1,sched_interval=1
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
JobRequeue=1
GresTypes=gpu
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=127.0.0.1
AccountingStoragePort={accounting}
AccountingStoragePass={folder}/munge.socket
AccountingStorageTRES=gres/gpu
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=5
# Nodes claim more cores than this machine has.
SlurmdParameters=config_overrides
{nodes}
PartitionName=low Nodes=ALL Default=YES MaxTime=60 PriorityTier=1 PreemptMode=REQUEUE State=UP
PartitionName=high Nodes=ALL MaxTime=60 PriorityTier=10 PreemptMode=OFF State=UP
"""
NODE = "NodeName={name} NodeHostname={host} NodeAddr=127.0.0.1 Port={port} CPUs=8 RealMemory=8000 Gres=gpu:{gpus}"
ACCOUNTING = """
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
DbdHost={host}
DbdAddr=127.0.0.1
DbdPort={accounting}
SlurmUser=root
PidFile={folder}/slurmdbd.pid
StorageType=accounting_storage/mysql
StorageHost=127.0.0.1
StoragePort={database}
StorageUser=slurm
StoragePass=slurm
StorageLoc=accounting
"""
DATABASE = """
create database accounting;
create user 'slurm'@'localhost' identified by 'slurm';
create user 'slurm'@'127.0.0.1' identified by 'slurm';
grant all on accounting.* to 'slurm'@'localhost';
grant all on accounting.* to 'slurm'@'127.0.0.1';
"""


class Cluster:
    """Two nodes of 8 cores and 4 GPUs; two partitions: `low`, and `high`, whose jobs push out those of `low`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment = {"SLURM_CONF": str(folder / "slurm.conf")}
        self.daemons: dict[str, subprocess.Popen] = {}

    def start(self) -> None:
        """Starts everything; returns when both nodes are idle."""
        self._write_configuration()
        munge = ("--key-file", "--socket", "--pid-file", "--log-file", "--seed-file")
        files = ("munge.key", "munge.socket", "munged.pid", "munged.log", "munged.seed")
        # By force: others cannot enter the folder, nor need they.
        self._daemon(
            "munged", "--foreground", "--force", *(f"{o}={self.folder / f}" for o, f in zip(munge, files, strict=True))
        )
        database = self.folder / "database"
        self._run("mariadb-install-db", "--no-defaults", "--user=root", f"--datadir={database}", "--skip-test-db")
        socket_file = f"--socket={self.folder / 'database.socket'}"
        options = ("--bind-address=127.0.0.1", f"--port={self.ports['database']}", "--innodb-buffer-pool-size=64M")
        self._daemon("mariadbd", "--no-defaults", "--user=root", f"--datadir={database}", socket_file, *options)
        self._until(lambda: self._try("mariadb-admin", "--no-defaults", socket_file, "ping"))
        self._run("mariadb", "--no-defaults", socket_file, f"--execute={DATABASE}")
        self._until((self.folder / "munge.socket").exists)
        self._daemon("slurmdbd", "-D")
        self._until(lambda: listens(self.ports["accounting"]))
        self._daemon("slurmctld", "-D", "-c")
        for name in NODES:
            self.start_node(name)

    def start_node(self, name: str) -> None:
        """Starts a node; returns when it is idle."""
        (self.folder / "spool" / name).mkdir(parents=True, exist_ok=True)
        self._daemon(f"slurmd.{name}", "-D", "-c", "-N", name)
        self._until(lambda: self.node_state(name) == "idle")

    def node_state(self, name: str) -> str:
        return self.command("sinfo", "--noheader", "--partition=low", f"--nodes={name}", "--format=%t").strip()

    def command(self, *arguments: str) -> str:
        """Returns what one of Slurm's programs prints; nothing where it fails."""
        return self._try(*arguments) or ""

    def jobs(self) -> dict[str, str]:
        """Returns the state of every job that accounting knows, by its number, e.g. {"3_0": "COMPLETED"}."""
        lines = self.command("sacct", "--allusers", "-X", "--noheader", "--parsable2", "--format=JobID,State")
        return dict(line.split("|") for line in lines.splitlines())

    def crash_node(self, name: str) -> None:
        """Has a node vanish with all that runs on it, as when its power fails."""
        daemon = self.daemons.pop(f"slurmd.{name}")
        daemon.kill()
        daemon.wait()
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                found = process.environ()
                if found.get("SLURM_CONF") == self.environment["SLURM_CONF"] and found.get("SLURMD_NODENAME") == name:
                    parent = process.parent()
                    if parent and parent.name() == "slurmstepd":
                        parent.kill()
                    process.kill()

    def stop(self) -> None:
        """Ends all jobs and all daemons."""
        if "slurmctld" in self.daemons:
            self.command("scancel", "--user=root")
            with contextlib.suppress(AssertionError):
                self._until(lambda: not self.command("squeue", "--noheader"))
        for daemon in reversed(self.daemons.values()):
            daemon.send_signal(signal.SIGTERM)
            try:
                daemon.wait(20)
            except subprocess.TimeoutExpired:
                daemon.kill()
                daemon.wait()

    def _write_configuration(self) -> None:
        names = ("controller", "accounting", "database", *NODES)
        self.ports = dict(zip(names, free_ports(len(names)), strict=True))
        words = {"folder": self.folder, "host": socket.gethostname().split(".")[0], **self.ports}
        nodes = "\n".join(NODE.format(name=name, port=self.ports[name], gpus=GPUS, **words) for name in NODES)
        (self.folder / "slurm.conf").write_text(SLURM.format(nodes=nodes, **words))
        (self.folder / "slurmdbd.conf").touch(mode=0o600)
        (self.folder / "slurmdbd.conf").write_text(ACCOUNTING.format(**words))
        (self.folder / "cgroup.conf").write_text("CgroupAutomount=no\n")
        devices = [self.folder / f"gpu{number}" for number in range(GPUS)]
        for device in devices:  # Slurm wants device files: these swallow what is written, as /dev/null does
            os.mknod(device, 0o600 | 0o020000, os.makedev(1, 3))
        (self.folder / "gres.conf").write_text(f"AutoDetect=off\nName=gpu File={self.folder}/gpu[0-{GPUS - 1}]\n")
        (self.folder / "munge.key").touch(mode=0o600)
        (self.folder / "munge.key").write_bytes(os.urandom(128))
        (self.folder / "state").mkdir()

    def _daemon(self, name: str, *arguments: str) -> None:
        with (self.folder / f"{name}.log").open("ab") as log:
            self.daemons[name] = subprocess.Popen(
                [name.partition(".")[0], *arguments],
                env={**os.environ, **self.environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def _run(self, *command: str) -> None:
        with (self.folder / "setup.log").open("ab") as log:
            subprocess.run(command, stdout=log, stderr=subprocess.STDOUT, check=True)

    def _try(self, *command: str) -> str | None:
        done = subprocess.run(
            command,
            env={**os.environ, **self.environment},
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE,
        )
        return None if done.returncode else done.stdout

    def _until(self, condition: Callable[[], object]) -> None:
        end = time.monotonic() + PATIENCE
        while not condition():
            dead = [name for name, daemon in self.daemons.items() if daemon.poll() is not None]
            assert not dead, f"{dead} ended; the logs are in {self.folder}"
            assert time.monotonic() < end, f"the cluster did not come up; the logs are in {self.folder}"
            time.sleep(0.1)
