//! A program that embeds with another library: how it is built, run, and what it says.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use siamese_build::Region;
use siamese_device::firmware::{self, Abi, Board, Core, Footprint};
use siamese_device::mean_instructions;

use super::network::{Network, Numbers};
use super::source::Language;
use crate::shell::Run;

/// How long the emulator may take for all images.
const PATIENCE: Duration = Duration::from_secs(1800);
/// The file that a program reads images from.
const IMAGES: &str = "images";

/// What a program is made of besides the harness.
#[derive(Debug, Clone, Default)]
pub struct Parts {
    /// Our source that calls the library, and the library's own.
    pub sources: Vec<PathBuf>,
    /// Folders with headers.
    pub includes: Vec<PathBuf>,
    /// Static libraries.
    pub archives: Vec<PathBuf>,
    /// The library's options for the compiler.
    pub options: Vec<&'static str>,
}

/// A compiler for C, with the options for a core, and what links.
pub struct Compiler {
    program: &'static str,
    own: Vec<String>,
    linker: &'static str,
    core: Vec<String>,
}

impl Compiler {
    /// Those that there are for a board; gcc is the first.
    pub fn all(board: Board) -> Result<Vec<Self>> {
        let core = board.core();
        if core == Core::Rv32 {
            let options = [
                "-march=rv32imac",
                // Registers of control and status are in I, as C's library has it.
                "-misa-spec=2.2",
                "-mabi=ilp32",
                "--specs=picolibc.specs",
            ];
            let program = "riscv64-unknown-elf-gcc";
            return Ok(vec![Self {
                program,
                own: Vec::new(),
                linker: program,
                core: options.map(str::to_owned).into(),
            }]);
        }
        let gcc = "arm-none-eabi-gcc";
        let mut options = vec![format!("-mcpu={}", core.name()), "-mthumb".into()];
        if board.target(Abi::Hard).is_some() {
            options.push("-mfloat-abi=hard".into());
        }
        // C's headers are gcc's: beside its library.
        let library = Run::new(gcc).arg("-print-file-name=libc.a").ask();
        let library = library.map(PathBuf::from);
        let folder = library.as_deref().and_then(Path::parent);
        let folder = folder.context("gcc doesn't say where C's library is")?;
        let headers = format!("-isystem{}/../include", folder.display());
        let target = "--target=arm-none-eabi".to_owned();
        // Enumerations are as gcc has them here, too.
        let clang = vec![target, headers, "-fshort-enums".into()];
        let compilers = [(gcc, Vec::new()), ("clang", clang)];
        Ok(compilers
            .into_iter()
            .map(|(program, own)| Self {
                program,
                own,
                linker: gcc,
                core: options.clone(),
            })
            .collect())
    }

    /// Its name and version.
    pub fn version(&self) -> String {
        let version = Run::new(self.program).arg("-dumpversion").ask();
        let name = self.program.rsplit('-').next().unwrap_or(self.program);
        format!("{name} {}", version.unwrap_or_default())
    }

    /// Compiles a source to an object file.
    fn compile(&self, source: &Path, object: &Path, parts: &Parts, folder: &Path) -> Result<()> {
        let include = |folder: &Path| format!("-I{}", folder.display());
        Run::new(self.program)
            .args(&self.own)
            .args(&self.core)
            .args(["-std=gnu11", "-O3", "-fomit-frame-pointer"])
            .args(["-ffunction-sections", "-fdata-sections"])
            .args(&parts.options)
            .args([
                include(folder),
                include(&folder_of_programs().join("harness")),
            ])
            .args(parts.includes.iter().map(|folder| include(folder)))
            .args(["-c".as_ref(), source, "-o".as_ref(), object])
            .quietly()
    }

    /// Links object files and static libraries.
    fn link(&self, files: &[PathBuf], folder: &Path, elf: &Path) -> Result<()> {
        Run::new(self.linker)
            .args(&self.core)
            .args(files)
            .args(["-nostartfiles", "-Wl,--gc-sections,-z,noexecstack"])
            .arg("-lm")
            .args(["-T".into(), folder_of_programs().join("harness/link.ld")])
            .args(["-o".as_ref(), elf])
            // Where the linker looks first for what a script includes.
            .dir(folder)
            .quietly()
    }
}

/// One way to build a program; of several the one with the fewest instructions counts.
pub struct Variant {
    /// What is told of it.
    pub title: String,
    pub compiler: Compiler,
    pub parts: Parts,
}

/// What a program took, and what it answered.
pub struct Measured {
    /// The mean of all images.
    pub instructions: f64,
    /// Bytes of the library and the network.
    pub flash: u64,
    /// Bytes of static data and of the stack at its deepest.
    pub ram: u64,
    /// Of each image.
    pub coordinates: Vec<Vec<i32>>,
}

/// Builds a program in a folder that is [prepared](prepare) for a board, and runs it there with
/// images.
pub fn measure(
    folder: &Path,
    board: Board,
    variant: &Variant,
    images: &[&[u8]],
) -> Result<Measured> {
    let compiler = &variant.compiler;
    let elf = build(folder, board, compiler, &variant.parts, "program")?;
    let harness = folder_of_programs().join("harness/nothing.c");
    let nothing = Parts {
        sources: vec![harness],
        ..Parts::default()
    };
    let nothing = Footprint::of_elf(&build(folder, board, compiler, &nothing, "nothing")?)?;
    let footprint = Footprint::of_elf(&elf)?;
    fs::write(folder.join(IMAGES), images.concat()).context("can't write the images")?;
    let said = firmware::run_in(folder, &elf, board, PATIENCE)?;
    let (ticks, coordinates, stack) = read(&said)?;
    Ok(Measured {
        instructions: mean_instructions(ticks, board.clock_hz()),
        flash: footprint.flash_bytes.saturating_sub(nothing.flash_bytes),
        ram: footprint.ram_static.saturating_sub(nothing.ram_static) + stack,
        coordinates,
    })
}

/// The folder of the programs' own sources.
pub fn folder_of_programs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("peers")
}

/// Writes what depends on the network and the board.
pub fn prepare(folder: &Path, board: Board, network: &Network<'_>, numbers: Numbers) -> Result<()> {
    let write = |name: &str, text: &str| {
        let path = folder.join(name);
        fs::write(&path, text).with_context(|| format!("can't write {}", path.display()))
    };
    fs::create_dir_all(folder).with_context(|| format!("can't make {}", folder.display()))?;
    let region = |name: &str, region: Region| {
        format!(
            "  {name} : ORIGIN = {:#x}, LENGTH = {}\n",
            region.origin, region.bytes
        )
    };
    let (flash, ram) = (region("FLASH", board.flash()), region("RAM", board.ram()));
    write("memory.ld", &format!("MEMORY\n{{\n{flash}{ram}}}\n"))?;
    for (language, extension) in [(Language::C, "h"), (Language::Rust, "rs")] {
        for (name, source) in network.sources(numbers, language)? {
            write(&format!("{name}.{extension}"), source.text())?;
        }
    }
    Ok(())
}

/// Compiles and links.
fn build(
    folder: &Path,
    board: Board,
    compiler: &Compiler,
    parts: &Parts,
    name: &str,
) -> Result<PathBuf> {
    let start = match board.core() {
        Core::Rv32 => "riscv.c",
        _ => "cortex_m.c",
    };
    let harness = ["main.c", start].map(|file| folder_of_programs().join("harness").join(file));
    let mut files = Vec::new();
    for (number, source) in parts.sources.iter().chain(&harness).enumerate() {
        let object = folder.join(format!("{name}-{number}.o"));
        compiler.compile(source, &object, parts, folder)?;
        files.push(object);
    }
    files.extend(parts.archives.iter().cloned());
    let elf = folder.join(name).with_extension("elf");
    compiler.link(&files, folder, &elf)?;
    Ok(elf)
}

/// What a program says: the ticks of each image, its coordinates, and the bytes of the stack.
fn read(said: &str) -> Result<(Vec<u32>, Vec<Vec<i32>>, u64)> {
    let (mut ticks, mut coordinates, mut stack) = (Vec::new(), Vec::new(), None);
    for line in said.lines() {
        let unknown = || format!("the program says '{line}', which is unknown");
        let (name, numbers) = line.split_once(' ').with_context(unknown)?;
        let mut numbers = numbers.split(' ').map(str::parse::<i32>);
        let first = numbers.next().and_then(Result::ok).with_context(unknown)?;
        match name {
            "image" => {
                ticks.push(first.cast_unsigned());
                coordinates.push(numbers.collect::<Result<_, _>>().with_context(unknown)?);
            }
            "stack" => stack = u64::try_from(first).ok(),
            _ => bail!("{}", unknown()),
        }
    }
    let stack = stack.context("the program ended before it said how deep its stack was")?;
    Ok((ticks, coordinates, stack))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_program_says_is_read() {
        let (ticks, coordinates, stack) = read("image 12 -3 4\nimage 13 5 6\nstack 100\n").unwrap();
        assert_eq!((ticks, stack), (vec![12, 13], 100));
        assert_eq!(coordinates, [[-3, 4], [5, 6]]);
        let error = read("image 12 -3 4\n").unwrap_err().to_string();
        assert!(error.contains("before it said"), "{error}");
        let error = read("the processor has met a fault\n")
            .unwrap_err()
            .to_string();
        assert!(error.contains("met a fault"), "{error}");
    }
}
