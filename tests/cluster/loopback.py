"""A real SLURM of two nodes on this machine's loopback, without accounting; for root, with Debian's slurm-wlm and munge."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

PROGRAMS = ("slurmctld", "slurmd", "munged", "sbatch", "squeue", "sinfo", "scontrol")
CONFIGURATION = Path("/etc/slurm/slurm.conf")
SECONDS = 60


def missing() -> str:
    """Why there can be no such cluster here; empty where there can."""
    if os.geteuid():
        return "a SLURM on loopback needs root"
    absent = [program for program in PROGRAMS if shutil.which(program) is None]
    return f"no {', '.join(absent)} on this machine; on Debian: apt-get install slurm-wlm munge" if absent else ""


def version() -> str:
    return subprocess.run(["sinfo", "--version"], capture_output=True, text=True, check=True).stdout.strip()


class Cluster:
    """Two nodes, n1 and n2, each with as many cores as this machine; they keep what they write in `folder`. Finished jobs are remembered for an hour."""

    def __init__(self, folder: Path) -> None:
        for name in ("state", "n1", "n2"):
            (folder / name).mkdir(parents=True)
        self._folder, self._before = folder, CONFIGURATION.read_bytes() if CONFIGURATION.exists() else None
        CONFIGURATION.parent.mkdir(parents=True, exist_ok=True)
        settings = {
            "ClusterName": "loopback", "SlurmctldHost": "localhost", "SlurmUser": "root", "SlurmdUser": "root", "AuthType": "auth/munge",
            "ProctrackType": "proctrack/linuxproc", "TaskPlugin": "task/none", "JobAcctGatherType": "jobacct_gather/none",
            "AccountingStorageType": "accounting_storage/none", "JobCompType": "jobcomp/filetxt", "JobCompLoc": folder / "jobs.log",
            "SelectType": "select/cons_tres", "SelectTypeParameters": "CR_Core_Memory", "ReturnToService": 2, "MpiDefault": "none", "MinJobAge": 3600,
            "SwitchType": "switch/none", "StateSaveLocation": folder / "state", "SlurmdSpoolDir": f"{folder}/%n", "SlurmctldPidFile": folder / "slurmctld.pid",
            "SlurmdPidFile": f"{folder}/slurmd-%n.pid", "SlurmctldLogFile": folder / "slurmctld.log", "SlurmdLogFile": f"{folder}/slurmd-%n.log",
            "CommunicationParameters": "NoCtldInAddrAny,NoInAddrAny",
        }  # fmt: skip
        nodes = f"NodeName=n[1-2] NodeHostname=localhost NodeAddr=127.0.0.1 Port=[6821-6822] CPUs={os.cpu_count()} RealMemory=1500 State=UNKNOWN"
        partition = "PartitionName=debug Nodes=n[1-2] Default=YES MaxTime=INFINITE State=UP"
        CONFIGURATION.write_text("\n".join([*(f"{name}={value}" for name, value in settings.items()), nodes, partition]) + "\n")
        self._start_munge()
        for command in (["slurmctld"], ["slurmd", "-N", "n1"], ["slurmd", "-N", "n2"]):
            subprocess.run(command, check=True)
        end = time.monotonic() + SECONDS
        while subprocess.run(["sinfo", "-h", "-t", "idle", "-o", "%D"], capture_output=True, text=True, check=False).stdout.split() != ["2"]:
            if time.monotonic() > end:
                self.stop()
                raise RuntimeError(f"SLURM did not start:\n{(folder / 'slurmctld.log').read_text()[-2000:]}")
            time.sleep(0.5)

    def jobs(self) -> list[dict[str, Any]]:
        """Each finished job: {"job", "state", "node", "start", "end"}."""
        found = []
        for line in (self._folder / "jobs.log").read_text().splitlines():
            fields = dict(re.findall(r"(\w+)=(\S+)", line))
            found.append({"job": int(fields["JobId"]), "state": fields["JobState"], "node": fields["NodeList"], "start": fields["StartTime"],
                          "end": fields["EndTime"]})  # fmt: skip
        return found

    def stop(self) -> None:
        """End it and put the machine's configuration back."""
        for name in ("slurmd-n1.pid", "slurmd-n2.pid", "slurmctld.pid"):
            with suppress(OSError, ValueError):
                os.kill(int((self._folder / name).read_text()), signal.SIGTERM)
        if self._before is None:
            CONFIGURATION.unlink()
        else:
            CONFIGURATION.write_bytes(self._before)

    @staticmethod
    def _start_munge() -> None:
        if subprocess.run(["pgrep", "-x", "munged"], capture_output=True, check=False).returncode == 0:
            return
        Path("/run/munge").mkdir(exist_ok=True)
        key = Path("/etc/munge/munge.key")
        if not key.exists() or not key.stat().st_size:
            key.write_bytes(os.urandom(1024))
        for place in ("/etc/munge", "/run/munge", "/var/log/munge", "/var/lib/munge"):
            subprocess.run(["chown", "-R", "munge:", place], check=True)
        key.chmod(0o400)
        subprocess.run(["runuser", "-u", "munge", "--", shutil.which("munged") or "munged", "--force"], check=True)
