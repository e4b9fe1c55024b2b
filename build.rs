//! Recompiles release builds when the build of the web console changes, because the binary contains it. The console itself
//! is built by `scripts/console.sh`, never from here: a plain `cargo build` must work without Node.

fn main() {
    let is_release = std::env::var("PROFILE").is_ok_and(|profile| profile == "release");
    let watched = if is_release { "frontend/dist" } else { "build.rs" };
    println!("cargo::rerun-if-changed={watched}");
}
