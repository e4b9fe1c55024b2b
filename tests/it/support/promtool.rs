//! promtool, the checker of Prometheus, which `scripts/install-missing.sh` installs.

use std::path::PathBuf;
use std::process::Command;

/// Runs promtool on files and panics with its report if it fails.
pub(crate) fn promtool(arguments: &[&str], files: &[PathBuf]) {
    let output = Command::new("promtool")
        .args(arguments)
        .args(files)
        .output()
        .expect("promtool, which scripts/install-missing.sh installs");
    let report = [output.stdout, output.stderr].concat();
    assert!(output.status.success(), "promtool {arguments:?}: {}", String::from_utf8_lossy(&report));
}
