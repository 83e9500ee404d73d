//! Which system calls a sandbox may make.
//!
//! Everything up to the newest call that was reviewed, without those that reach the
//! machine rather than the sandbox, or that have a history of holes and few uses. Newer
//! calls do not exist: programs then fall back on older ones.
//!
//! With a Docker daemon, the calls that make namespaces and mounts are allowed; what they
//! make is the sandbox's own.

use std::collections::BTreeMap;

use seccompiler::{
    BackendError, BpfProgram, SeccompAction, SeccompCmpArgLen::Dword, SeccompCmpOp,
    SeccompCondition, SeccompFilter, SeccompRule, TargetArch, sock_filter,
};

/// `file_setattr`, of Linux 6.17, on every architecture.
const NEWEST: u32 = 469;

/// Calls that are refused to everybody.
const REFUSED: &[i64] = &[
    libc::SYS_acct,
    libc::SYS_bpf,
    libc::SYS_delete_module,
    libc::SYS_fanotify_init,
    libc::SYS_finit_module,
    libc::SYS_init_module,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_io_uring_setup,
    libc::SYS_kexec_file_load,
    libc::SYS_kexec_load,
    libc::SYS_lookup_dcookie,
    libc::SYS_nfsservctl,
    libc::SYS_open_by_handle_at,
    libc::SYS_perf_event_open,
    libc::SYS_quotactl,
    libc::SYS_quotactl_fd,
    libc::SYS_reboot,
    libc::SYS_settimeofday,
    libc::SYS_swapoff,
    libc::SYS_swapon,
    libc::SYS_syslog,
    libc::SYS_userfaultfd,
    libc::SYS_vhangup,
];

#[cfg(target_arch = "x86_64")]
const REFUSED_HERE: &[i64] = &[
    libc::SYS__sysctl,
    libc::SYS_ioperm,
    libc::SYS_iopl,
    libc::SYS_sysfs,
    libc::SYS_uselib,
    libc::SYS_ustat,
];
#[cfg(not(target_arch = "x86_64"))]
const REFUSED_HERE: &[i64] = &[];

/// Calls that are refused without a Docker daemon.
const REFUSED_WITHOUT_DOCKER: &[i64] = &[
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fsopen,
    libc::SYS_fspick,
    libc::SYS_mount,
    libc::SYS_mount_setattr,
    libc::SYS_move_mount,
    libc::SYS_open_tree,
    OPEN_TREE_ATTR,
    libc::SYS_pivot_root,
    libc::SYS_setns,
    libc::SYS_umount2,
];

/// Of Linux 6.15, on every architecture.
const OPEN_TREE_ATTR: i64 = 467;

/// Calls that do not exist: programs are better prepared for this than for a refusal.
const MISSING: &[i64] = &[libc::SYS_add_key, libc::SYS_keyctl, libc::SYS_request_key];

const NEW_NAMESPACES: [libc::c_int; 7] = [
    libc::CLONE_NEWUSER,
    libc::CLONE_NEWNS,
    libc::CLONE_NEWPID,
    libc::CLONE_NEWNET,
    libc::CLONE_NEWIPC,
    libc::CLONE_NEWUTS,
    libc::CLONE_NEWCGROUP,
];

/// What `personality` may set: nothing unusual, 32-bit names, no random addresses, or ask.
const PERSONALITIES: [u64; 4] = [0, 0x8, 0x004_0000, 0xffff_ffff];

type Rules = BTreeMap<i64, Vec<SeccompRule>>;

/// The filters, to install in this order.
pub(super) fn filters(docker: bool) -> Result<Vec<BpfProgram>, BackendError> {
    let arch = TargetArch::try_from(std::env::consts::ARCH)?;
    let refuse = |rules, errno: libc::c_int| {
        SeccompFilter::new(
            rules,
            SeccompAction::Allow,
            SeccompAction::Errno(errno.cast_unsigned()),
            arch,
        )
        .and_then(BpfProgram::try_from)
    };
    Ok(vec![
        newer_and_missing(docker),
        refuse(refused(docker)?, libc::EPERM)?,
        refuse(families()?, libc::EAFNOSUPPORT)?,
    ])
}

fn refused(docker: bool) -> Result<Rules, BackendError> {
    let mut rules: Rules = REFUSED
        .iter()
        .chain(REFUSED_HERE)
        .map(|call| (*call, Vec::new()))
        .collect();
    if !docker {
        rules.extend(
            REFUSED_WITHOUT_DOCKER
                .iter()
                .map(|call| (*call, Vec::new())),
        );
        for call in [libc::SYS_clone, libc::SYS_unshare] {
            rules.insert(call, new_namespaces()?);
        }
        rules.insert(libc::SYS_socket, raw_sockets()?);
    }
    let unusual = PERSONALITIES
        .iter()
        .map(|allowed| when(0, SeccompCmpOp::Ne, *allowed))
        .collect::<Result<_, _>>()?;
    rules.insert(libc::SYS_personality, vec![SeccompRule::new(unusual)?]);
    // Typing into somebody else's terminal.
    let typing = [libc::TIOCSTI, libc::TIOCLINUX]
        .iter()
        .map(|request| {
            SeccompRule::new(vec![when(1, SeccompCmpOp::Eq, u64::from(*request as u32))?])
        })
        .collect::<Result<_, _>>()?;
    rules.insert(libc::SYS_ioctl, typing);
    Ok(rules)
}

fn new_namespaces() -> Result<Vec<SeccompRule>, BackendError> {
    NEW_NAMESPACES
        .iter()
        .map(|flag| {
            let flag = u64::from(flag.cast_unsigned());
            SeccompRule::new(vec![when(0, SeccompCmpOp::MaskedEq(flag), flag)?])
        })
        .collect()
}

fn raw_sockets() -> Result<Vec<SeccompRule>, BackendError> {
    [libc::AF_INET, libc::AF_INET6]
        .iter()
        .map(|family| {
            SeccompRule::new(vec![
                when(0, SeccompCmpOp::Eq, u64::from(family.cast_unsigned()))?,
                when(1, SeccompCmpOp::MaskedEq(0xf), 3)?,
            ])
        })
        .collect()
}

/// Sockets of any family but these are refused.
fn families() -> Result<Rules, BackendError> {
    let other = [
        libc::AF_UNIX,
        libc::AF_INET,
        libc::AF_INET6,
        libc::AF_NETLINK,
    ]
    .iter()
    .map(|family| when(0, SeccompCmpOp::Ne, u64::from(family.cast_unsigned())))
    .collect::<Result<Vec<_>, _>>()?;
    let rules = || SeccompRule::new(other.clone()).map(|rule| vec![rule]);
    Ok(Rules::from([
        (libc::SYS_socket, rules()?),
        (libc::SYS_socketpair, rules()?),
    ]))
}

fn when(argument: u8, compare: SeccompCmpOp, with: u64) -> Result<SeccompCondition, BackendError> {
    SeccompCondition::new(argument, Dword, compare, with)
}

/// Ends calls that are newer than what was reviewed, which no list of numbers can name.
/// That covers the second set of numbers of x86-64 (x32) too, which is above them all.
fn newer_and_missing(docker: bool) -> BpfProgram {
    const LOAD: u16 = 0x20;
    const JUMP_ABOVE: u16 = 0x25;
    const JUMP_EQUAL: u16 = 0x15;
    const RETURN: u16 = 0x06;
    let no_such_call = libc::SECCOMP_RET_ERRNO | libc::ENOSYS.cast_unsigned();
    let mut missing = MISSING.to_vec();
    if !docker {
        // Its flags are in memory, where no filter can look.
        missing.push(libc::SYS_clone3);
    }
    let instruction = |code, jt, jf, k| sock_filter { code, jt, jf, k };
    // The number of the call is the first thing in `struct seccomp_data`.
    let mut program = vec![instruction(LOAD, 0, 0, 0)];
    let count = u8::try_from(missing.len()).unwrap_or(u8::MAX);
    program.push(instruction(JUMP_ABOVE, count + 1, 0, NEWEST));
    for (number, call) in (0..).zip(&missing) {
        let rest: u8 = count - number;
        let call = u32::try_from(*call).unwrap_or(u32::MAX);
        program.push(instruction(JUMP_EQUAL, rest, 0, call));
    }
    program.push(instruction(RETURN, 0, 0, libc::SECCOMP_RET_ALLOW));
    program.push(instruction(RETURN, 0, 0, no_such_call));
    program
}
