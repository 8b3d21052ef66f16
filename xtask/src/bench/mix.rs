//! What the instructions of an embedding are: from a trace of QEMU's, which names each one
//! that it carries out.

use std::collections::HashMap;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use object::{Object, ObjectSymbol};
use siamese_build::cost::Mix;
use siamese_device::firmware::Board;

/// Instructions that are looked at.
const LOOKED_AT: usize = 200_000;
/// Parts of names of the functions that embed.
const EMBEDDING: [&str; 2] = ["siamese_core::kernel::", "siamese_core::embedder::"];

/// Traces the program `embed-only` in QEMU: while its functions of the kernel run.
pub fn measure(elf: &Path, board: Board) -> Result<Mix> {
    let functions = functions(elf)?;
    let program = board.emulator().context("the board isn't emulated")?;
    let filter: Vec<String> = functions
        .iter()
        .map(|(start, bytes)| format!("{start:#x}+{bytes:#x}"))
        .collect();
    let mut child = Command::new(program)
        .args(["-machine", board.name(), "-bios", "none", "-kernel"])
        .arg(elf)
        .args(["-display", "none", "-monitor", "none", "-serial", "none"])
        // Each instruction is a block, each block is named when it is translated and
        // whenever it runs.
        .args(["-singlestep", "-d", "in_asm,exec,nochain"])
        .args(["-dfilter", &filter.join(",")])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("can't start {program}"))?;
    let trace = child.stderr.take().context("QEMU has no standard error")?;
    let mut counts = Counts::default();
    for line in BufReader::new(trace).lines() {
        counts.see(&line?);
        if counts.seen >= LOOKED_AT {
            break;
        }
    }
    // It goes on for ever.
    let _ = child.kill();
    let _ = child.wait();
    ensure!(
        counts.seen >= LOOKED_AT,
        "{board}: QEMU's trace ends after {} instructions",
        counts.seen
    );
    Ok(counts.mix())
}

/// Where the functions are that embed, and their bytes.
fn functions(elf: &Path) -> Result<Vec<(u64, u64)>> {
    let bytes = std::fs::read(elf).with_context(|| format!("can't read {}", elf.display()))?;
    let file = object::File::parse(&*bytes)?;
    let mut functions = Vec::new();
    for symbol in file.symbols().filter(|symbol| symbol.size() > 0) {
        let name = format!("{:#}", rustc_demangle::demangle(symbol.name()?));
        if EMBEDDING.iter().any(|part| name.contains(part)) {
            // Thumb functions have odd addresses.
            functions.push((symbol.address() & !1, symbol.size()));
        }
    }
    ensure!(!functions.is_empty(), "{} embeds nothing", elf.display());
    Ok(functions)
}

/// An instruction, as far as its time follows from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Instruction {
    bytes: u64,
    /// Words that it loads or stores.
    words: u32,
}

impl Instruction {
    /// Of a line of disassembly: `0x0000386c:  cb60       ldm      r3!, {r5, r6}`.
    fn of_line(line: &str) -> Option<(u64, Self)> {
        let (address, rest) = line.strip_prefix("0x")?.split_once(':')?;
        let address = u64::from_str_radix(address, 16).ok()?;
        let mut words = rest.split_whitespace().peekable();
        let mut bytes = 0;
        let is_code = |word: &&str| {
            matches!(word.len(), 4 | 8) && word.bytes().all(|byte| byte.is_ascii_hexdigit())
        };
        while let Some(code) = words.next_if(is_code) {
            bytes += code.len() as u64 / 2;
        }
        let name = words.next()?;
        let operands: Vec<&str> = words.collect();
        let words = moved(name, &operands.join(" "));
        (bytes > 0).then_some((address, Self { bytes, words }))
    }
}

/// The words that an instruction loads or stores.
fn moved(name: &str, operands: &str) -> u32 {
    let name = name.trim_end_matches(".w");
    let listed = || {
        let list = operands.split_once('{').map_or("", |(_, list)| list);
        list.split(',').count() as u32
    };
    match name {
        "ldrd" | "strd" => 2,
        _ if name.starts_with("vldr") || name.starts_with("vstr") => 4,
        "push" | "pop" => listed(),
        _ if name.starts_with("ldm") || name.starts_with("stm") => listed(),
        _ if name.starts_with("ldr") || name.starts_with("str") => 1,
        // RISC-V.
        "lb" | "lbu" | "lh" | "lhu" | "lw" | "sb" | "sh" | "sw" => 1,
        "c.lw" | "c.sw" | "c.lwsp" | "c.swsp" => 1,
        _ => 0,
    }
}

/// Counts what a trace names.
#[derive(Debug, Default)]
struct Counts {
    known: HashMap<u64, Instruction>,
    /// The address after the last instruction, and whether it was a load or store.
    last: Option<(u64, bool)>,
    seen: usize,
    memory: u32,
    runs: u32,
    words: u32,
    taken: u32,
}

impl Counts {
    fn see(&mut self, line: &str) {
        if let Some((address, instruction)) = Instruction::of_line(line) {
            self.known.insert(address, instruction);
            return;
        }
        // `Trace 0: 0x7f2a180dc300 [00000000/800037a2/00109003/ff000201] function`.
        let address = line
            .strip_prefix("Trace ")
            .and_then(|rest| rest.split('/').nth(1))
            .and_then(|address| u64::from_str_radix(address, 16).ok());
        let Some(instruction) = address.and_then(|address| self.known.get(&address)) else {
            return;
        };
        let address = address.unwrap_or_default();
        let is_memory = instruction.words > 0;
        let (next, after_memory) = self.last.unwrap_or((address, false));
        self.seen += 1;
        self.memory += u32::from(is_memory);
        self.runs += u32::from(is_memory && !after_memory);
        self.words += instruction.words;
        self.taken += u32::from(next != address);
        self.last = Some((address + instruction.bytes, is_memory));
    }

    fn mix(&self) -> Mix {
        let of = |count: u32| f64::from(count) * 1000.0 / self.seen.max(1) as f64;
        Mix {
            memory: of(self.memory),
            runs: of(self.runs),
            words: of(self.words),
            taken: of(self.taken),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_is_counted() {
        let lines = [
            "0x00000100:  cb60       ldm      r3!, {r5, r6}",
            "0x00000102:  fb25 f203  smlad    r2, r5, r3, r15",
            "0x00000106:  6801       ldr      r1, [r0, #0]",
            "0x00000108:  e9c0 1200  strd     r1, r2, [r0]",
            "0x0000010c:  d1f8       bne      #0x100",
        ];
        let mut counts = Counts::default();
        lines.iter().for_each(|line| counts.see(line));
        for _ in 0..2 {
            for address in [0x100, 0x102, 0x106, 0x108, 0x10c] {
                counts.see(&format!("Trace 0: 0x7f0 [00000000/{address:08x}/0/0] name"));
            }
        }
        counts.see("IN: name");
        counts.see("Trace 0: 0x7f0 [00000000/00009999/0/0] unknown");
        assert_eq!(counts.seen, 10);
        let expected = Mix {
            memory: 600.0,
            runs: 400.0,
            words: 1000.0,
            taken: 100.0,
        };
        assert_eq!(counts.mix(), expected);
    }

    #[test]
    fn instructions_of_risc_v_are_read() {
        let (address, lw) =
            Instruction::of_line("0x80003db6:  419c      lw      a5,0(a1)").unwrap();
        assert_eq!((address, lw.bytes, lw.words), (0x8000_3db6, 2, 1));
        let (_, mul) = Instruction::of_line("0x80003db8:  02b50533          mul a0,a0,a1").unwrap();
        assert_eq!((mul.bytes, mul.words), (4, 0));
        assert!(Instruction::of_line("Priv: 3; Virt: 0").is_none());
    }
}
