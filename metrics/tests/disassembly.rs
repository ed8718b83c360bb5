//! Counting a request takes no locked instruction: read from what the compiler made of it. Whatever
//! takes a lock is inlined there, down to the instruction; what is called is the end of a request
//! that was no success, read too, and what is off the path: a function's first timing on a worker,
//! a panic.

#![allow(clippy::unwrap_used, reason = "every line of this program is a test")]
#![cfg(target_arch = "x86_64")]

use std::path::{Path, PathBuf};
use std::process::Command;

/// Builds the example as it is released, in a folder of its own so that no other build waits.
fn example() -> PathBuf {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("disassembly");
    let status = Command::new(env!("CARGO"))
        .args(["build", "--quiet", "--locked", "--release", "--example", "hot_path"])
        .arg("--target-dir")
        .arg(&target)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .status()
        .unwrap();
    assert!(status.success());
    target.join("release/examples/hot_path")
}

/// The instructions of a function, without their addresses.
fn instructions(program: &Path, function: &str) -> Vec<String> {
    let output = Command::new("objdump")
        .args(["--disassemble", "--demangle", "--no-show-raw-insn"])
        .arg(program)
        .output()
        .expect("objdump is there wherever a linker is");
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    let of_function = text.lines().skip_while(|line| !line.contains(&format!("::{function}>:")));
    of_function
        .skip(1)
        .take_while(|line| !line.is_empty())
        .filter_map(|line| line.split_once(":\t"))
        .map(|(_, instruction)| instruction.trim().to_owned())
        .collect()
}

#[test]
fn counting_a_request_takes_no_locked_instruction() {
    let example = example();
    for function in ["begin_and_end", "end_otherwise"] {
        let instructions = instructions(&example, function);
        assert!(instructions.len() > 50, "{function} is all here: {instructions:#?}");
        for instruction in &instructions {
            let name = instruction.split_whitespace().next().unwrap();
            // An exchange with memory locks without saying so.
            let exchange = name.starts_with("xchg") && instruction.contains('(');
            assert!(name != "lock" && !exchange && name != "mfence", "{function}: {instruction}");
        }
    }
}
