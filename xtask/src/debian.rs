//! Packages of Debian, where they may be installed.

use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::command;

/// Installs a package. `what` is what is missing, `help` what to do where this cannot be done.
pub(crate) fn install(package: &str, what: &str, help: &str) -> Result<()> {
    if !rustix::process::geteuid().is_root() {
        bail!("there is no {what}, and only root can install it: {help}");
    }
    let apt = |arguments: &[&str]| {
        let mut apt = Command::new("apt-get");
        apt.args(arguments).env("DEBIAN_FRONTEND", "noninteractive");
        command::run_aside(&mut apt).with_context(|| help.to_owned())
    };
    apt(&["update"])?;
    apt(&["install", "--yes", "--no-install-recommends", package])
}
