//! Tells the benchmark which compiler built it. The report states it.

use std::env;
use std::process::Command;

fn main() {
    let compiler = env::var("RUSTC").unwrap_or_else(|_| "rustc".to_owned());
    let version = Command::new(compiler).arg("--version").output().ok();
    let text = version.and_then(|output| String::from_utf8(output.stdout).ok());
    println!("cargo:rustc-env=CAYENNE_BENCH_RUSTC={}", text.as_deref().unwrap_or("unknown").trim());
    println!("cargo:rerun-if-changed=build.rs");
}
