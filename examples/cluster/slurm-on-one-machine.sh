#!/usr/bin/env bash
# A Slurm cluster of several nodes on one machine, to try `--executor slurm` on.
#
#   slurm-on-one-machine.sh start FOLDER [NODES [CPUS]]   2 nodes of 2 CPUs by default
#   slurm-on-one-machine.sh stop FOLDER
#
# Needs Debian's or Ubuntu's packages: apt-get install munge slurm-wlm. Everything lies
# in FOLDER and belongs to you: the keys, the state, the logs; no service is touched.
# Each node is a slurmd of its own with its own port. `start` prints the line that lets
# sbatch, squeue and scaling find this cluster.
set -euo pipefail

fail() { echo "slurm-on-one-machine: $*" >&2; exit 1; }

[ $# -ge 2 ] || fail "expected: start FOLDER [NODES [CPUS]], or stop FOLDER"
PATH=$PATH:/usr/sbin
mkdir -p "$2"
folder=$(cd "$2" && pwd)

free_ports() {  # as many different ports as asked for that nobody listens on
    python3 - "$1" << 'PYTHON'
import socket, sys
sockets = [socket.socket() for _ in range(int(sys.argv[1]))]
for each in sockets:
    each.bind(("", 0))
print(*(each.getsockname()[1] for each in sockets))
PYTHON
}

configure() {
    local nodes=$1 cpus=$2 ports user host
    user=$(id -un) host=$(hostname -s)
    read -ra ports <<< "$(free_ports $((nodes + 1)))"
    cat > slurm.conf << CONF
ClusterName=one-machine
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=${ports[nodes]}
SlurmUser=$user
SlurmdUser=$user
AuthType=auth/munge
# cred_expire: seconds that a job waits before it starts again after a requeue
AuthInfo=socket=$folder/munge.socket,cred_expire=5
StateSaveLocation=$folder/state
SlurmdSpoolDir=$folder/spool-%n
SlurmctldPidFile=$folder/slurmctld.pid
SlurmdPidFile=$folder/slurmd-%n.pid
SlurmctldLogFile=$folder/slurmctld.log
SlurmdLogFile=$folder/slurmd-%n.log
# a container has no systemd, and may not have control groups
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerParameters=batch_sched_delay=0,sched_interval=5,bf_interval=5
# a job of partition \`urgent\` pre-empts those of \`main\`, which are queued again
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
SlurmdTimeout=10
KillWait=15
ReturnToService=2
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE PriorityTier=1 GraceTime=15
PartitionName=urgent Nodes=ALL MaxTime=INFINITE PriorityTier=2
CONF
    for ((node = 1; node <= nodes; node++)); do
        echo "NodeName=node$node NodeHostname=$host NodeAddr=127.0.0.1" \
            "Port=${ports[node - 1]} CPUs=$cpus State=UNKNOWN" >> slurm.conf
    done
}

start() {
    for program in munged slurmctld slurmd sbatch; do
        [ -n "$(type -P "$program")" ] ||
            fail "no $program here; expected Slurm: apt-get install munge slurm-wlm"
    done
    [ ! -e slurm.conf ] || fail "$folder holds a cluster already: stop it first"
    mkdir state
    configure "${1:-2}" "${2:-2}"
    head -c 128 /dev/urandom > munge.key
    chmod 400 munge.key
    # --force: munged would have every user reach the socket; this cluster is ours alone
    munged --force --socket="$folder/munge.socket" --key-file="$folder/munge.key" \
        --pid-file="$folder/munged.pid" --log-file="$folder/munged.log" \
        --seed-file="$folder/munge.seed"
    export SLURM_CONF=$folder/slurm.conf
    slurmctld
    for ((node = 1; node <= ${1:-2}; node++)); do
        mkdir "spool-node$node"
        slurmd -N "node$node"
    done
    for _ in $(seq 100); do # until every node has reported
        [ "$(sinfo -h -o %T -p main 2> /dev/null)" != idle ] || break
        sleep 0.2
    done
    [ "$(sinfo -h -o %T -p main)" = idle ] ||
        fail "not all nodes came up; see $folder/slurmctld.log and slurmd-*.log"
    echo "export SLURM_CONF=$SLURM_CONF"
}

stop() {
    export SLURM_CONF=$folder/slurm.conf
    [ -e slurm.conf ] || fail "$folder holds no cluster"
    scancel --quiet --user "$(id -un)" 2> /dev/null || true
    for _ in $(seq 100); do # until the jobs have ended
        [ -n "$(squeue -h 2> /dev/null)" ] || break
        sleep 0.2
    done
    for pids in slurmd-*.pid slurmctld.pid munged.pid; do
        [ -e "$pids" ] || continue
        process=$(cat "$pids")
        kill "$process" 2> /dev/null || true
        for _ in $(seq 50); do # a zombie has no command line
            grep -q . "/proc/$process/cmdline" 2> /dev/null || break
            sleep 0.1
        done
    done
    rm -rf state spool-* slurm.conf munge.key munge.seed munge.socket* ./*.pid
}

cd "$folder"
case $1 in
    start) start "${@:3}" ;;
    stop) stop ;;
    *) fail "$1 is neither start nor stop" ;;
esac
