//! Puts the model in, and tells the linker of the chip's memory.

use std::error::Error;
use std::path::PathBuf;
use std::{env, fs};

use siamese_build::{Core, embed_model};

/// Before the program is the second stage of booting; the flash's last 24 KiB are for what the
/// device learns.
const MEMORY: &str = "MEMORY
{
  BOOT2 : ORIGIN = 0x10000000, LENGTH = 0x100
  FLASH : ORIGIN = 0x10000100, LENGTH = 2048K - 24K - 0x100
  RAM   : ORIGIN = 0x20000000, LENGTH = 264K
}
";

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=build.rs");
    embed_model("../../model/small.siam", Core::CortexM0Plus)?;
    let out = PathBuf::from(env::var("OUT_DIR")?);
    fs::write(out.join("memory.x"), MEMORY)?;
    println!("cargo::rustc-link-search={}", out.display());
    for script in ["--nmagic", "-Tlink.x", "-Tlink-rp.x"] {
        println!("cargo::rustc-link-arg-bins={script}");
    }
    Ok(())
}
