//! Makes Cargo recompile release builds when the built web console changes, because the release binary contains it.
//! `scripts/console.sh` builds the console. This script does not: a plain `cargo build` must work without Node.

fn main() {
    let is_release = std::env::var("PROFILE").is_ok_and(|profile| profile == "release");
    let watched = if is_release { "frontend/dist" } else { "build.rs" };
    println!("cargo::rerun-if-changed={watched}");
}
