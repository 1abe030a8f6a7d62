//! Where there is no network namespace to be had: no socket but those between local programs.

use std::collections::BTreeMap;
use std::env::consts::ARCH;

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule,
};

/// Refuses all other sockets for good; whether this processor is one that the filter knows.
pub fn install() -> Result<bool, String> {
    let Ok(arch) = ARCH.try_into() else {
        return Ok(false);
    };
    let filter = program(arch).map_err(|error| format!("seccomp: {error}"))?;
    match seccompiler::apply_filter(&filter) {
        Ok(()) => Ok(true),
        Err(error) => Err(format!("seccomp: {error}")),
    }
}

fn program(arch: seccompiler::TargetArch) -> Result<BpfProgram, seccompiler::BackendError> {
    let family = SeccompCondition::new(
        0,
        SeccompCmpArgLen::Dword,
        SeccompCmpOp::Ne,
        libc::AF_UNIX as u64,
    )?;
    let rules = BTreeMap::from([
        (libc::SYS_socket, vec![SeccompRule::new(vec![family])?]),
        // It opens sockets without the call above.
        (libc::SYS_io_uring_setup, vec![]),
    ]);
    SeccompFilter::new(
        rules,
        SeccompAction::Allow,
        SeccompAction::Errno(libc::EACCES as u32),
        arch,
    )?
    .try_into()
}
