"""A real SLURM of several nodes on one Debian machine: munge, accounting and all, for the tests.

Each machine of the cluster, the head and every node, is a shell in a PID namespace of its own that
reads the commands to run from a pipe. When the pipe is closed, or the test process dies however it
dies, the shell reaches its end of file, and the kernel ends all that ever ran in its namespace:
daemons, jobs, and what those left behind.

The machines share all files, and each counts its processes from 1: what names files after its
process number needs a folder for temporary files of its own, as MariaDB has here.

GPUs are plain files: SLURM counts and hands them out, no program finds a device there.

References
----------
https://slurm.schedmd.com/slurm.conf.html, https://slurm.schedmd.com/gres.conf.html,
https://slurm.schedmd.com/slurmdbd.conf.html, pid_namespaces(7), unshare(1)
"""

import csv
import os
import secrets
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from shlex import quote
from types import TracebackType
from typing import Any, Self

# program: Debian package
PROGRAMS = {
    "munged": "munge",
    "mariadbd": "mariadb-server",
    "mariadb-install-db": "mariadb-server",
    "slurmdbd": "slurmdbd",
    "slurmctld": "slurmctld",
    "slurmd": "slurmd",
    "sbatch": "slurm-client",
    "unshare": "util-linux",
}
# daemons stand in folders that an ordinary user's PATH may lack
PATH = f"{os.environ.get('PATH', os.defpath)}:/usr/local/sbin:/usr/sbin:/sbin"

TWO_NODES = {"node1": 2, "node2": 0}
ONE_PARTITION = {"main": "Nodes=ALL Default=YES MaxTime=1-0 DefaultTime=60"}


class SlurmError(Exception):
    """The cluster does not come up, or does not do what a test waits for."""


def missing_packages() -> list[str]:
    """Return the Debian packages without which no cluster can start here."""
    return sorted(
        {package for program, package in PROGRAMS.items() if not shutil.which(program, path=PATH)}
    )


class Slurm:
    """A cluster, up between `start` and `stop` or inside `with`.

    Parameters
    ----------
    folder
        Where everything of this cluster goes: configuration, state, logs, sockets. Its path must be
        short enough for a socket. Several clusters run side by side in folders of their own.
    nodes
        Number of GPUs of each node by its name.
    cpus, memory_mb
        Of each node; they may exceed the machine's.
    partitions
        Lines of slurm.conf by the partition's name: nodes, limits, which is the default.
    account_required
        Whether jobs must name the account, `study`, as at sites where a user has no default one.
        Elsewhere `study` is the default.
    parameters
        Further lines of slurm.conf, or others than this module's: `KillWait=5`.
    """

    def __init__(
        self,
        folder: Path,
        *,
        nodes: Mapping[str, int] = TWO_NODES,
        cpus: int = 8,
        memory_mb: int = 64000,
        partitions: Mapping[str, str] = ONE_PARTITION,
        account_required: bool = False,
        **parameters: str | int,
    ) -> None:
        self.folder = folder.absolute()
        self.nodes = dict(nodes)
        self.cpus = cpus
        self.memory_mb = memory_mb
        self.partitions = dict(partitions)
        self.account_required = account_required
        self.parameters = parameters
        self.name = f"test{secrets.token_hex(4)}"
        self.machines: dict[str, subprocess.Popen[str]] = {}

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def env(self) -> dict[str, str]:
        """The environment of programs that shall see this cluster."""
        outer = {key: value for key, value in os.environ.items() if not key.startswith("SLURM_")}
        return outer | {"PATH": PATH, "SLURM_CONF": str(self.folder / "slurm.conf")}

    def start(self, seconds: float = 60) -> None:
        """Start all daemons; return when every node is idle.

        Raises
        ------
        SlurmError
            If something is missing here, or a daemon is not up in time: with the end of its log.
        """
        _require_here()
        if len(str(self.folder / "mariadb.socket")) > 100:
            raise SlurmError(f"{self.folder}: this path is too long for a socket; take a shorter.")
        self.folder.mkdir(parents=True, exist_ok=True)
        self.deadline = time.monotonic() + seconds
        try:
            self._write_files()
            for machine in ("head", *self.nodes):
                self.machines[machine] = _machine(self.folder, self.env)
            self._start_accounting()
            self._run("head", "slurmctld", "slurmctld -D -i")
            self._until("slurmctld", ["scontrol", "ping"], "is UP")
            for node in self.nodes:
                self.start_slurmd(node)
            for node in self.nodes:
                self._until(node, ["sinfo", "--noheader", "--nodes", node, "--format=%T"], "idle")
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End everything that runs in the cluster, jobs too; files stay, but for the database."""
        for shell in self.machines.values():
            assert shell.stdin is not None
            shell.stdin.close()
        for shell in self.machines.values():
            shell.wait()
        self.machines.clear()
        shutil.rmtree(self.folder / "mariadb", ignore_errors=True)

    def squeue(self, *options: str) -> list[dict[str, str]]:
        """Return the jobs in the queue, a dict each: JOBID, NAME, STATE, PARTITION, REASON, ..."""
        return self._table("squeue", "--all", "--format=%i|%j|%T|%P|%N|%r|%k|%l|%b", *options)

    def sacct(self, *options: str, fields: str = "") -> list[dict[str, str]]:
        """Return the accounting's rows, a dict each, of every job and step since the start.

        It lags behind the queue by some seconds. A job that was requeued has a row for each of its
        runs.
        """
        fields = fields or (
            "JobID,JobName,State,ExitCode,NodeList,Partition,Account,Comment,"
            "Elapsed,Timelimit,ReqTRES,AllocTRES,Submit,Start,End"
        )
        return self._table("sacct", "--allusers", "--duplicates", "-P", f"--format={fields}",
                           *options)  # fmt: skip

    def wait_for(self, predicate: Callable[[], Any], seconds: float = 60, what: str = "it") -> Any:
        """Return what `predicate` returns as soon as that is true."""
        deadline = time.monotonic() + seconds
        while not (found := predicate()):
            if time.monotonic() > deadline:
                raise SlurmError(
                    f"waited {seconds} s for {what}.\nqueue: {self.squeue()}\n"
                    f"accounting: {self.sacct(fields='JobID,JobName,State,ExitCode,NodeList')}"
                )
            time.sleep(0.2)
        return found

    def submit(self, script: str, *options: str) -> str:
        """Submit a batch script; return its job's number. Its output goes into `folder`."""
        text = f"#!/bin/sh\n{script}\n"
        output = f"--output={self.folder}/job.%j.out"
        return self.command("sbatch", "--parsable", output, *options, input=text).strip()

    def cancel(self, job: str, *options: str) -> None:
        """Cancel a job, as its user would."""
        self.command("scancel", *options, job)

    def drain(self, seconds: float = 30) -> None:
        """Cancel all jobs and wait until none is left in the queue."""
        self.command("scancel", "--user=root")
        self.wait_for(lambda: not self.squeue(), seconds, "an empty queue")

    def kill_slurmd(self, node: str) -> None:
        """Kill a node's daemon without warning; its jobs' own processes live on."""
        self._type(node, f"kill -9 $(cat {quote(str(self.folder))}/{node}.pid)")

    def start_slurmd(self, node: str) -> None:
        """Start a node's daemon, for the first time or after `kill_slurmd` or `power_off`."""
        if self.machines[node].poll() is not None:
            self.machines[node] = _machine(self.folder, self.env)
        self._run(node, node, f"slurmd -D -N {node}")

    def power_off(self, node: str) -> None:
        """End all that runs on a node at once: the daemon, its jobs, their processes."""
        shell = self.machines[node]
        assert shell.stdin is not None
        shell.stdin.close()
        shell.wait()

    def command(self, *words: str, input: str | None = None) -> str:
        """Run one of SLURM's programs and return what it prints.

        Raises
        ------
        SlurmError
            If it fails; with what it says.
        """
        done = subprocess.run(words, env=self.env, input=input, capture_output=True, text=True)
        if done.returncode:
            raise SlurmError(f"{' '.join(words)}: {done.stderr.strip() or done.stdout.strip()}")
        return done.stdout

    def _table(self, *words: str) -> list[dict[str, str]]:
        return list(csv.DictReader(self.command(*words).splitlines(), delimiter="|"))

    def _run(self, machine: str, daemon: str, words: str) -> None:
        """Start a daemon on a machine; how it ends is written to `<daemon>.ended`."""
        (self.folder / f"{daemon}.ended").unlink(missing_ok=True)
        here = quote(str(self.folder))
        self._type(
            machine,
            f"({words} >>{here}/{daemon}.log 2>&1 </dev/null & echo $! >{here}/{daemon}.pid;"
            f" wait $!; echo $? >{here}/{daemon}.ended) 2>/dev/null &",
        )

    def _type(self, machine: str, line: str) -> None:
        shell = self.machines[machine]
        assert shell.stdin is not None
        shell.stdin.write(line + "\n")
        shell.stdin.flush()

    def _until(self, daemon: str, words: list[str], answer: str) -> None:
        """Wait until a program's answer shows that a daemon is up."""
        while True:
            done = subprocess.run(words, env=self.env, capture_output=True, text=True)
            if done.returncode == 0 and answer in done.stdout:
                return
            ended = (self.folder / f"{daemon}.ended").exists()
            if ended or time.monotonic() > self.deadline:
                log = self.folder / f"{daemon}.log"
                lines = log.read_text().splitlines()[-20:] if log.exists() else ["(no log)"]
                raise SlurmError(
                    f"{daemon} {'has ended' if ended else 'is not up in time'}. "
                    f"{' '.join(words)}: {(done.stdout + done.stderr).strip()}\n"
                    f"{log}:\n" + "\n".join(lines)
                )
            time.sleep(0.1)

    def _start_accounting(self) -> None:
        """Start munge, MariaDB and slurmdbd, and register cluster, account and user."""
        here = quote(str(self.folder))
        self._run(
            "head",
            "munge",
            f"munged --foreground --force --num-threads=2 --key-file={here}/munge.key"
            f" --socket={here}/munge.socket --pid-file={here}/munged.pid"
            f" --log-file={here}/munged.log --seed-file={here}/munge.seed",
        )
        self._until("munge", ["munge", "--no-input", f"--socket={self.folder}/munge.socket"], "MUN")
        small = "--no-defaults --user=root --innodb-log-file-size=4M --innodb-buffer-pool-size=16M"
        at = f"--datadir={here}/mariadb --socket={here}/mariadb.socket --tmpdir={here}/tmp"
        made = f"mariadb-install-db {small} {at} --auth-root-authentication-method=normal"
        self._run(
            "head",
            "mariadb",
            f"({made} --skip-test-db && exec mariadbd {small} {at} --skip-networking"
            f" --innodb-flush-log-at-trx-commit=0 --pid-file={here}/mariadbd.pid)",
        )
        ping = ["mariadb-admin", "--no-defaults", f"--socket={self.folder}/mariadb.socket", "ping"]
        self._until("mariadb", ping, "alive")
        self._run("head", "slurmdbd", f"MYSQL_UNIX_PORT={here}/mariadb.socket slurmdbd -D")
        self._until("slurmdbd", ["sacctmgr", "-n", "list", "user", "format=user"], "root")
        self.command("sacctmgr", "-i", "add", "cluster", self.name)
        self.command("sacctmgr", "-i", "add", "account", "study", f"cluster={self.name}")
        self.command("sacctmgr", "-i", "add", "user", "root", "account=study")
        if self.account_required:
            self.command("sacctmgr", "-i", "delete", "user", "root", "account=root")
        else:
            self.command("sacctmgr", "-i", "modify", "user", "root", "set", "defaultaccount=study")

    def _write_files(self) -> None:
        """Write keys, GPUs and the configuration of all daemons."""
        for folder in ("state", "tmp", *(f"spool.{node}" for node in self.nodes)):
            (self.folder / folder).mkdir(exist_ok=True)
        key = self.folder / "munge.key"
        key.touch(mode=0o600)
        key.write_bytes(secrets.token_bytes(1024))
        gpus = []
        for node, count in self.nodes.items():
            for i in range(count):
                file = self.folder / f"gpu.{node}.{i}"
                file.touch()
                gpus.append(f"NodeName={node} Name=gpu File={file}")
        (self.folder / "gres.conf").write_text("\n".join(gpus) + "\n")
        head, database, *ports = _free_ports(2 + len(self.nodes))
        (self.folder / "slurm.conf").write_text(self._slurm_conf(head, database, ports))
        dbd = self.folder / "slurmdbd.conf"
        dbd.touch(mode=0o600)
        dbd.write_text(self._slurmdbd_conf(database))

    def _slurm_conf(self, head: int, database: int, ports: list[int]) -> str:
        values: dict[str, object] = {
            "ClusterName": self.name,
            "SlurmctldHost": f"{socket.gethostname().partition('.')[0]}(127.0.0.1)",
            "SlurmctldPort": head,
            "SlurmUser": "root",
            "AuthType": "auth/munge",
            "AuthInfo": f"socket={self.folder}/munge.socket",
            "CredType": "cred/munge",
            # loopback only; slurmdbd alone listens everywhere, behind munge
            "CommunicationParameters": "NoInAddrAny,NoCtldInAddrAny",
            "StateSaveLocation": self.folder / "state",
            "SlurmdSpoolDir": self.folder / "spool.%n",
            "SlurmctldPidFile": self.folder / "slurmctld.own.pid",
            "SlurmdPidFile": self.folder / "%n.own.pid",
            # accounting: each job's GPUs, memory and times
            "AccountingStorageType": "accounting_storage/slurmdbd",
            "AccountingStorageHost": "127.0.0.1",
            "AccountingStoragePort": database,
            # of slurmdbd's own munge, the same here
            "AccountingStoragePass": self.folder / "munge.socket",
            "AccountingStorageTRES": "gres/gpu",
            "AccountingStoreFlags": "job_comment",
            "JobAcctGatherType": "jobacct_gather/linux",
            "JobAcctGatherFrequency": 5,
            # cores, memory and GPUs are handed out, nothing is pinned: the machine has fewer
            "SelectType": "select/cons_tres",
            "SelectTypeParameters": "CR_Core_Memory",
            "GresTypes": "gpu",
            "TaskPlugin": "task/none",
            "ProctrackType": "proctrack/linuxproc",
            "SlurmdParameters": "config_overrides",
            "DefMemPerCPU": 500,
            # a node is taken back when it answers again, and soon noticed when it does not
            "ReturnToService": 2,
            "SlurmdTimeout": 10,
            # a waiting job is looked at every second or so, not every minute
            "SchedulerType": "sched/backfill",
            "SchedulerParameters": "sched_interval=1,sched_min_interval=0,bf_interval=1,"
            "batch_sched_delay=0",
            "MinJobAge": 300,
            "MailProg": "/bin/true",
        }
        if self.account_required:
            values["AccountingStorageEnforce"] = "associations"
        values |= self.parameters
        lines = [f"{name}={value}" for name, value in values.items()]
        for (node, gpus), port in zip(self.nodes.items(), ports, strict=True):
            lines.append(
                f"NodeName={node} NodeAddr=127.0.0.1 Port={port} CPUs={self.cpus} Sockets=1"
                f" CoresPerSocket={self.cpus} ThreadsPerCore=1 RealMemory={self.memory_mb}"
                + (f" Gres=gpu:{gpus}" if gpus else "")
            )
        lines += [f"PartitionName={name} {rest}" for name, rest in self.partitions.items()]
        return "\n".join(lines) + "\n"

    def _slurmdbd_conf(self, port: int) -> str:
        return (
            f"DbdHost=localhost\nDbdAddr=127.0.0.1\nDbdPort={port}\nSlurmUser=root\n"
            f"AuthType=auth/munge\nAuthInfo=socket={self.folder}/munge.socket\n"
            f"StorageType=accounting_storage/mysql\nStorageHost=localhost\nStorageUser=root\n"
            f"StorageLoc=slurm\nPidFile={self.folder}/slurmdbd.own.pid\n"
        )


def _require_here() -> None:
    if os.geteuid() != 0:
        raise SlurmError("A cluster of several nodes on one machine needs root; become root.")
    if missing := missing_packages():
        raise SlurmError(
            f"Debian packages missing: {' '.join(missing)}; run tests/cluster/install.sh."
        )


def _machine(folder: Path, env: dict[str, str]) -> subprocess.Popen[str]:
    """A shell in namespaces of its own; all that runs there ends when its standard input does.

    There, and nowhere else, the cluster's configuration lies where SLURM looks for it unasked:
    Snakemake's jobs drop SLURM_CONF before they call srun.
    """
    place = Path("/etc/slurm")
    place.mkdir(exist_ok=True)
    read = 'mount --bind "$0" "$1" && while read -r line; do eval "$line"; done'
    words = ["unshare", "--pid", "--mount-proc", "--fork", "--kill-child", "bash", "-c", read]
    return subprocess.Popen([*words, folder, place], stdin=subprocess.PIPE, env=env, text=True)


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports
