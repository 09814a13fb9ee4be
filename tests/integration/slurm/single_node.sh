#!/usr/bin/env bash
# A real one-node Slurm (controller, node daemon, accounting database) on a Debian machine without systemd, as root, with four stand-in
# GPUs, so that `snakemake --profile slurm` can be tried and tested where there is no cluster. It is not for production.
#   tests/integration/slurm/single_node.sh up | down
# Tried on Debian 12: Slurm 22.05.8, MariaDB 10.11; about 35 s to install and 8 s to start. The machine's cores are announced as 8 CPUs.
set -euo pipefail
host=$(hostname -s)
pid_files="/run/slurmd.pid /run/slurmctld.pid /run/slurmdbd.pid /run/mysqld/mysqld.pid /run/munge/munged.pid"

down() {
    for file in $pid_files; do
        [ ! -s "$file" ] || kill "$(cat "$file")" 2>/dev/null || true
    done
    for file in $pid_files; do
        wait_for sh -c "! [ -s $file ] || ! kill -0 \$(cat $file)"
    done
}

running() { [ -s "$1" ] && kill -0 "$(cat "$1")" 2>/dev/null; }

up() {
    command -v slurmctld >/dev/null || { apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends \
        slurmctld slurmd slurm-client slurmdbd slurm-wlm-mysql-plugin munge mariadb-server; }
    install -d /etc/slurm /var/spool/slurmctld /var/spool/slurmd /var/log/slurm
    install -d -o munge -g munge /run/munge && install -d -o mysql -g mysql /run/mysqld
    cat > /etc/slurm/slurm.conf <<CONF
# written by equipoise's tests/integration/slurm/single_node.sh; the drills in tests/integration/slurm stop and drain only a node that says so
ClusterName=lab
SlurmctldHost=$host
SlurmUser=root
AuthType=auth/munge
StateSaveLocation=/var/spool/slurmctld
SlurmdSpoolDir=/var/spool/slurmd
SlurmctldLogFile=/var/log/slurm/slurmctld.log
SlurmdLogFile=/var/log/slurm/slurmd.log
SlurmctldPidFile=/run/slurmctld.pid
SlurmdPidFile=/run/slurmd.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=2
JobAcctGatherParams=OverMemoryKill
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
SlurmdParameters=config_overrides
ReturnToService=2
KillWait=5
SchedulerParameters=batch_sched_delay=1,sched_interval=5
GresTypes=gpu
MailProg=/bin/true
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=localhost
AccountingStorageTRES=gres/gpu
AccountingStoreFlags=job_comment
NodeName=$host CPUs=8 RealMemory=20000 Gres=gpu:4 State=UNKNOWN
PartitionName=gpu Nodes=$host Default=YES MaxTime=INFINITE State=UP
CONF
    echo "NodeName=$host Name=gpu File=/dev/tty[0-3]" > /etc/slurm/gres.conf   # any four device files do
    install -m 600 /dev/null /etc/slurm/slurmdbd.conf
    cat > /etc/slurm/slurmdbd.conf <<CONF
AuthType=auth/munge
DbdHost=localhost
SlurmUser=root
LogFile=/var/log/slurm/slurmdbd.log
PidFile=/run/slurmdbd.pid
StorageType=accounting_storage/mysql
StorageHost=localhost
StorageUser=slurm
StoragePass=slurm
StorageLoc=slurm_acct_db
CONF
    running /run/munge/munged.pid || runuser -u munge -- /usr/sbin/munged </dev/null >/dev/null 2>&1
    if ! running /run/mysqld/mysqld.pid; then
        setsid mariadbd-safe --user=mysql --pid-file=/run/mysqld/mysqld.pid </dev/null >/var/log/slurm/mariadb.log 2>&1 &
    fi
    wait_for mariadb-admin ping
    mariadb -e "create database if not exists slurm_acct_db; create user if not exists slurm@localhost identified by 'slurm'; grant all on slurm_acct_db.* to slurm@localhost"
    running /run/slurmdbd.pid || slurmdbd </dev/null >/dev/null 2>&1
    wait_for sacctmgr -n show cluster
    sacctmgr -i add cluster lab >/dev/null || true
    sacctmgr -i add account lab >/dev/null || true
    sacctmgr -i add user root account=lab >/dev/null || true
    running /run/slurmctld.pid || slurmctld </dev/null >/dev/null 2>&1
    running /run/slurmd.pid || slurmd </dev/null >/dev/null 2>&1
    wait_for sh -c "sinfo -h -o %T | grep -qx -e idle -e mixed -e allocated"
    sinfo
}

wait_for() {
    for _ in $(seq 60); do "$@" >/dev/null 2>&1 && return; sleep 1; done
    echo "not ready after 60 s: $*" >&2
    return 1
}

"${1:?up or down}"
