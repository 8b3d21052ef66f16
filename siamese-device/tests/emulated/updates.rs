//! Updates of the model on emulated boards: each that isn't to be taken is refused in words and
//! the old model still answers; a good one answers with its own integers after a restart, and a
//! power cut in between brings back the old one.

use std::path::{Path, PathBuf};
use std::time::Duration;

use ed25519_dalek::SigningKey;
use siamese_build::OwnedModel;
use siamese_device::firmware::{self, Board, Build, Footprint, Program, UPDATES};
use siamese_device::updates::{
    DEVELOPMENT_SEED, HEADER_LEN, Other, Rejection, Running, SIGNED_LEN, UpdateError, digest,
};
use siamese_device::{
    Device, Emulator, Error, Fault, GoldenVector, INSTRUCTIONS_PER_SECOND, Reference, Release, seal,
};

use crate::common::{random_images, random_model, small_image_model_of};

/// A board in a folder that keeps its flash, and its models.
struct Bench {
    board: Board,
    elf: PathBuf,
    folder: tempfile::TempDir,
    old: OwnedModel,
    new: OwnedModel,
    images: Vec<Vec<u8>>,
    key: SigningKey,
}

impl Bench {
    fn new(board: Board, old: &[u8], new: &[u8]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("old.siam");
        std::fs::write(&path, old).unwrap();
        let key = SigningKey::from_bytes(&[42; 32]);
        let elf = Build::new(&path, board)
            .features([UPDATES, "statistics"])
            .updates_signed_by(key.verifying_key().to_bytes(), 1)
            .run();
        let old = OwnedModel::new(old).unwrap();
        Self {
            board,
            elf: elf.unwrap_or_else(|error| panic!("{error}")),
            images: random_images(12, old.model().header().input.pixels(), 9),
            folder,
            new: OwnedModel::new(new).unwrap(),
            old,
            key,
        }
    }

    /// Switches the power on.
    fn boot(&self) -> Device {
        Device::new(Emulator::start_in(self.folder.path(), &self.elf, self.board).unwrap()).unwrap()
    }

    fn golden(&self, model: &OwnedModel) -> Vec<GoldenVector> {
        let mut reference = Reference::new(model.model());
        let vectors = self.images.iter().take(3).map(|image| {
            let (coordinates, hidden_crc) = reference.embed(image).unwrap();
            GoldenVector {
                pixels: image.clone(),
                coordinates: coordinates.to_vec(),
                hidden_crc,
            }
        });
        vectors.collect()
    }

    fn release(&self, version: u32) -> Release {
        Release {
            board: Some(self.board),
            layout: self.board.core().layout(),
            version,
            over: 0,
        }
    }

    fn sealed(&self, release: Release, key: &SigningKey) -> Vec<u8> {
        seal(&self.new, &self.golden(&self.new), &release, key).unwrap()
    }

    fn good(&self, version: u32) -> Vec<u8> {
        self.sealed(self.release(version), &self.key)
    }

    /// The board gives this model's integers, in every layer.
    fn answers(&self, device: &mut Device, model: &OwnedModel) {
        let answers = device.embed_all(&self.images, |_, _| ()).unwrap();
        let mut reference = Reference::new(model.model());
        let differing = reference.differing(&self.images, &answers).unwrap();
        assert_eq!(differing, [0; 0]);
    }
}

/// The header of a file with a change, signed again.
fn changed(file: &[u8], key: &SigningKey, change: impl Fn(&mut [u8])) -> Vec<u8> {
    use ed25519_dalek::Signer;

    let mut file = file.to_vec();
    change(&mut file);
    let signature = key.sign(&file[..SIGNED_LEN]).to_bytes();
    file[SIGNED_LEN..HEADER_LEN].copy_from_slice(&signature);
    file
}

/// The words with which a device refuses, if it does so for this reason.
fn refused(result: Result<(), Error>, expected: UpdateError) -> String {
    match result.unwrap_err() {
        Error::Fault(Fault::Update(error)) if error == expected => error.to_string(),
        error => panic!("{error:?} in place of {expected:?}"),
    }
}

/// All that is refused; the board runs the model that was built in, which has version 1.
fn refusals(bench: &Bench) {
    let mut device = bench.boot();
    let good = bench.good(2);
    let status = device.update_status().unwrap();
    assert_eq!((status.running, status.version), (Running::BuiltIn, 1));
    assert!(!status.development_key);

    let forged = bench.sealed(bench.release(2), &SigningKey::from_bytes(&[43; 32]));
    let send = |device: &mut Device, file: &[u8]| device.send_update(file, |_| ());
    let words = refused(send(&mut device, &forged), UpdateError::Signature);
    assert!(words.contains("firmware's key"), "{words}");
    let mut flipped = good.clone();
    flipped[21] ^= 1;
    refused(send(&mut device, &flipped), UpdateError::Signature);

    let installed = 1;
    let older = UpdateError::Older {
        found: 1,
        installed,
    };
    let words = refused(send(&mut device, &bench.good(1)), older);
    assert!(words.contains("above 1"), "{words}");

    let other = Board::Nrf52840dk;
    let other = bench.sealed(
        Release {
            board: Some(other),
            ..bench.release(2)
        },
        &bench.key,
    );
    let words = refused(send(&mut device, &other), UpdateError::Board);
    assert!(words.contains("another board"), "{words}");
    let layout = changed(&good, &bench.key, |file| file[9] ^= 7);
    let expected = bench.board.core().layout().number();
    let found = expected ^ 7;
    let words = refused(
        send(&mut device, &layout),
        UpdateError::Layout { expected, found },
    );
    assert!(words.contains("another core"), "{words}");
    let oversized = changed(&good, &bench.key, |file| {
        file[12..16].copy_from_slice(&status.room.to_le_bytes());
    });
    let needed = status.room + HEADER_LEN as u32;
    let room = status.room;
    let words = refused(
        send(&mut device, &oversized),
        UpdateError::TooLarge { needed, room },
    );
    assert!(words.contains("a slot has"), "{words}");

    let truncated = &good[..HEADER_LEN + 192 * 3];
    send(&mut device, truncated).unwrap();
    let expected = UpdateError::Truncated {
        received: 192 * 3,
        expected: (good.len() - HEADER_LEN) as u32,
    };
    let words = refused(device.switch_update(), expected);
    assert!(words.contains("cut short"), "{words}");
    bench.answers(&mut device, &bench.old);

    // What was signed isn't what arrives.
    let mut damaged = good;
    damaged[HEADER_LEN + 300] ^= 0x40;
    send(&mut device, &damaged).unwrap();
    let words = refused(device.switch_update(), UpdateError::Digest);
    assert!(words.contains("send the file again"), "{words}");
    bench.answers(&mut device, &bench.old);
    device.reset().unwrap();
    bench.answers(&mut device, &bench.old);
    refused(device.confirm_update(), UpdateError::NothingToConfirm);
}

/// A good update, with the power going at each of its stages; and one whose golden vectors
/// don't hold.
fn stages(bench: &Bench) {
    let good = bench.good(2);
    let mut device = bench.boot();
    device.enrol(7, false, &bench.images[5]).unwrap();
    device.save().unwrap();
    device.send_update(&good, |_| ()).unwrap();
    bench.answers(&mut device, &bench.old);
    // Sent, and not switched to.
    drop(device);
    let mut device = bench.boot();
    bench.answers(&mut device, &bench.old);
    assert_eq!(device.update_status().unwrap().other, Other::Empty);

    let mut sent = 0;
    device.send_update(&good, |bytes| sent = bytes).unwrap();
    assert_eq!(sent, good.len() - HEADER_LEN);
    device.switch_update().unwrap();
    bench.answers(&mut device, &bench.old);
    device.reset().unwrap();
    bench.answers(&mut device, &bench.new);
    let status = device.update_status().unwrap();
    let on_trial = Running::Slot {
        slot: 0,
        on_trial: true,
    };
    assert_eq!((status.running, status.version), (on_trial, 2));
    let info = device.info().unwrap();
    let refused_gallery = info.refused.unwrap().to_string();
    assert!(
        refused_gallery.contains("another model"),
        "{refused_gallery}"
    );
    let crc = bench
        .new
        .bytes()
        .last_chunk()
        .copied()
        .map(u32::from_le_bytes);
    assert_eq!(Some(info.model_crc), crc);
    // Not confirmed: the old model, with its gallery.
    drop(device);
    let mut device = bench.boot();
    bench.answers(&mut device, &bench.old);
    assert_eq!(device.entries().unwrap().len(), 1);
    let version = 2;
    let reason = Rejection::NotConfirmed;
    assert_eq!(
        device.update_status().unwrap().other,
        Other::Rejected { version, reason }
    );

    // Signed, and yet the device gives other integers than the file says.
    let wrong = changed_payload(&good, &bench.key, bench.new.bytes().len());
    device.send_update(&wrong, |_| ()).unwrap();
    device.switch_update().unwrap();
    device.reset().unwrap();
    bench.answers(&mut device, &bench.old);
    let reason = Rejection::Golden;
    assert_eq!(
        device.update_status().unwrap().other,
        Other::Rejected { version, reason }
    );

    device.send_update(&good, |_| ()).unwrap();
    device.switch_update().unwrap();
    device.reset().unwrap();
    device.confirm_update().unwrap();
    drop(device);
    let mut device = bench.boot();
    bench.answers(&mut device, &bench.new);
    let older = UpdateError::Older {
        found: 1,
        installed: 2,
    };
    refused(device.send_update(&bench.good(1), |_| ()), older);
    refused(device.send_update(&good, |_| ()), UpdateError::Running);
    let statistics = device.statistics().unwrap();
    assert_eq!(
        (statistics.embeddings >= 12, statistics.faults >= 2),
        (true, true)
    );
}

/// A file whose last coordinate is another one, signed again.
fn changed_payload(file: &[u8], key: &SigningKey, model: usize) -> Vec<u8> {
    assert!(file.len() > HEADER_LEN + model);
    changed(file, key, |file| {
        let at = file.len() - 9;
        file[at] ^= 1;
        let payload = digest(&file[HEADER_LEN..]);
        file[64..128].copy_from_slice(&payload);
    })
}

#[test]
fn a_cortex_m4_takes_only_the_right_updates() {
    let bench = Bench::new(Board::Mps2An386, &random_model(1), &random_model(2));
    refusals(&bench);
    stages(&bench);
}

#[test]
fn a_pico_takes_only_the_right_updates() {
    let [old, new] = [1, 2].map(small_image_model_of);
    let bench = Bench::new(Board::Pico, &old, &new);
    refusals(&bench);
    stages(&bench);
}

/// Nothing of it is in the firmware without the feature.
#[test]
fn without_the_feature_there_is_nothing_of_it() {
    let model = Path::new(env!("CARGO_MANIFEST_DIR")).join("../model/tiny.siam");
    let build = |features: &[&'static str]| {
        let build = Build::new(&model, Board::Mps2An386).features(features.iter().copied());
        build.run().unwrap_or_else(|error| panic!("{error}"))
    };
    let words = ["siamese_update", "curve25519", "sha512", "SIAMUPD"];
    let holds = |elf: &Path| {
        let bytes = std::fs::read(elf).unwrap();
        words.map(|word| {
            bytes
                .windows(word.len())
                .any(|part| part == word.as_bytes())
        })
    };
    let (without, with) = (build(&[]), build(&[UPDATES]));
    assert_eq!(holds(&without), [false; 4]);
    assert_eq!(holds(&with), [true; 4]);
}

/// The bytes of flash and of static RAM that a firmware takes with the feature, beyond what it
/// takes without; and of stack, if the board is emulated as it is here.
fn added(board: Board) -> (u64, u64, u32) {
    let model = Path::new(env!("CARGO_MANIFEST_DIR")).join("../model/tiny.siam");
    let [(without, shallow), (with, deep)] = [&[][..], &[UPDATES]].map(|features| {
        let build = Build::new(&model, board).features(features.iter().copied());
        let elf = build.run().unwrap_or_else(|error| panic!("{error}"));
        let mut device = Device::new(Emulator::start(&elf, board).unwrap()).unwrap();
        let image = &random_images(1, 784, 3)[0];
        device.embed(image).unwrap();
        device.enrol(1, false, image).unwrap();
        device.save().unwrap();
        let mut deepest = 0;
        if !features.is_empty() {
            let model = OwnedModel::read(&model).unwrap();
            let mut reference = Reference::new(model.model());
            let (coordinates, hidden_crc) = reference.embed(image).unwrap();
            let vector = GoldenVector {
                pixels: image.clone(),
                coordinates: coordinates.to_vec(),
                hidden_crc,
            };
            let release = Release {
                board: None,
                layout: board.core().layout(),
                version: 1,
                over: 0,
            };
            let key = SigningKey::from_bytes(&DEVELOPMENT_SEED);
            let file = seal(&model, &[vector], &release, &key).unwrap();
            device.send_update(&file, |_| ()).unwrap();
            device.switch_update().unwrap();
            // A restart begins to count anew.
            deepest = device.memory().unwrap().stack_peak;
            device.reset().unwrap();
            device.confirm_update().unwrap();
            assert!(device.update_status().unwrap().development_key);
            let later = device.send_update(&file, |_| ());
            refused(later, UpdateError::Running);
        }
        (
            Footprint::of_elf(&elf).unwrap(),
            device.memory().unwrap().stack_peak.max(deepest),
        )
    });
    (
        with.flash_bytes - without.flash_bytes,
        with.ram_static - without.ram_static,
        deep.saturating_sub(shallow),
    )
}

/// What updates cost. This prints the figures of `docs/updates.md`.
#[test]
fn updates_cost_at_most_24_kib_of_flash_and_4_of_ram() {
    for (board, core) in [(Board::Mps2An386, "M4"), (Board::Pico, "M0+")] {
        let (flash, statics, stack) = added(board);
        println!(
            "{core} ({board}): {flash} bytes of flash, {statics} of static RAM, {stack} of stack"
        );
        if board == Board::Mps2An386 {
            assert!(flash <= 24 * 1024, "{flash}");
            assert!(statics + u64::from(stack) <= 4 * 1024, "{statics}, {stack}");
        }
    }
    let model = Path::new(env!("CARGO_MANIFEST_DIR")).join("../model/small.siam");
    for (board, core) in [(Board::Mps2An386, "M4"), (Board::Microbit, "M0")] {
        let build = Build::new(&model, board).program(Program::UpdateCosts);
        let elf = build.feature("update-code").run();
        let elf = elf.unwrap_or_else(|error| panic!("{error}"));
        let said = firmware::run(&elf, board, Duration::from_secs(120)).unwrap();
        let number = |name: &str| -> f64 {
            let mut lines = said.lines().filter_map(|line| line.split_once(' '));
            let (_, number) = lines.find(|(found, _)| *found == name).unwrap();
            number.parse().unwrap()
        };
        let per_tick = INSTRUCTIONS_PER_SECOND as f64 / f64::from(board.clock_hz());
        let [signature, hash] = ["signature", "digest"].map(|name| number(name) * per_tick / 1e6);
        println!(
            "{core} ({board}): {signature:.2} million instructions for a signature, {hash:.2} for \
             the digest of {} bytes; {} bytes of stack",
            number("bytes"),
            number("stack")
        );
        // Counted, not timed.
        assert!(signature > 1.0 && signature + hash < 40.0);
    }
}
