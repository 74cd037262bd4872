"""A real Slurm of one node on loopback, from Debian's packages, for the time of a test."""

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

CONF = Path("/etc/slurm/slurm.conf")
MARK = "# written by the book's Slurm test"
SETTINGS = """
ClusterName=book
SlurmctldHost=localhost(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
ReturnToService=2
MpiDefault=none
StateSaveLocation={state}/ctld
SlurmdSpoolDir={state}/d
SlurmctldPidFile={state}/ctld.pid
SlurmdPidFile={state}/d.pid
SlurmctldLogFile={state}/ctld.log
SlurmdLogFile={state}/d.log
NodeName=localhost NodeAddr=127.0.0.1 CPUs=2 RealMemory=4000
PartitionName=book Nodes=localhost Default=YES MaxTime=60 State=UP
"""


def missing() -> str | None:
    """Why no Slurm can be started here; None if one can."""
    tools = [name for name in ("slurmctld", "slurmd", "munged", "sbatch", "squeue") if shutil.which(name) is None]
    if tools:
        return f"no {', '.join(tools)}: apt-get install slurmctld slurmd slurm-client munge"
    if os.geteuid() != 0:
        return "Slurm's daemons are started as root"
    if CONF.exists() and MARK not in CONF.read_text(encoding="utf-8"):
        return f"{CONF} belongs to another Slurm"
    return None


@contextmanager
def one_node(state: Path) -> Iterator[None]:
    """Start munge, the controller and one node; stop them at the end.

    state: a folder for what they write. Raises RuntimeError if the node is not idle within a minute.
    """
    for name in ("ctld", "d"):
        (state / name).mkdir(parents=True, exist_ok=True)
    CONF.parent.mkdir(parents=True, exist_ok=True)
    CONF.write_text(f"{MARK}\n{SETTINGS.format(state=state)}", encoding="utf-8")
    munge = Path("/run/munge")
    munge.mkdir(exist_ok=True)
    shutil.chown(munge, "munge", "munge")
    started: list[subprocess.Popen[bytes]] = []

    def launch(*words: str, user: str | None = None) -> None:
        started.append(
            subprocess.Popen(
                words, user=user, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
            )
        )

    try:
        if (
            not (munge / "munge.socket.2").is_socket()
            or subprocess.run(["munge", "-n"], capture_output=True).returncode
        ):
            launch("munged", "--foreground", "--force", user="munge")
            time.sleep(1)
        launch("slurmctld", "-D", "-i")
        launch("slurmd", "-D", "-N", "localhost")
        for _ in range(120):
            told = subprocess.run(["sinfo", "--noheader", "--format=%T"], capture_output=True, text=True, check=False)
            if told.stdout.strip() == "idle":
                break
            time.sleep(0.5)
        else:
            logs = "\n".join(path.read_text(errors="replace")[-1500:] for path in state.glob("*.log"))
            raise RuntimeError(f"Slurm's node is not idle after a minute: {told.stdout} {told.stderr}\n{logs}")
        yield
    finally:
        for process in reversed(started):
            process.terminate()
        for process in reversed(started):
            try:
                process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                process.kill()
        CONF.unlink(missing_ok=True)
