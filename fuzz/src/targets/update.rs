//! Updates of the model: their steps in any order, a power that goes, reads that fail.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::OnceLock;

use ed25519_dalek::{Signer, SigningKey};
use siamese_build::OwnedModel;
use siamese_core::Embedder;
use siamese_core::checksum::checksum;
use siamese_update::{HEADER_LEN, Header, ModelUpdates, Policy, Running, Updates, digest};

use super::flash::tear;
use super::mapped::{Flash, Shared};
use crate::bytes::Bytes;
use crate::made;

const BOARD: &str = "fuzzed";
const SEED: [u8; 32] = [7; 32];
const SLOT: u32 = 2048;
/// The parts in which a payload is sent.
const PART: usize = 192;

type Network = Embedder<'static, 2, 32, 16>;

/// An update file, and what its model answers if it may be installed at all.
pub(super) struct File {
    pub(super) bytes: Vec<u8>,
    version: u32,
    answer: Option<[i16; 2]>,
}

const IMAGE: [u8; 16] = [0, 9, 0, 255, 77, 0, 0, 3, 200, 0, 1, 0, 90, 0, 255, 128];

/// A model of 4x4 pixels with other weights for each number.
fn model(number: u8) -> OwnedModel {
    let seed = [0, 2, 2, 2, 8, 4, 1, 1, 0, 0, 0, number, 77, number];
    let file = made::model(&mut Bytes::new(&seed)).expect("the seed makes a model");
    OwnedModel::new(&file).expect("the encoder wrote a model")
}

/// A model, and what it gives for an image in all layers.
fn payload(number: u8) -> (Vec<u8>, usize, [i16; 2]) {
    let model = model(number);
    let mut network = Embedder::<2, 32, 16>::new(model.model()).unwrap();
    let point = network.embed(&IMAGE).unwrap().0;
    let mut payload = model.bytes().to_vec();
    let length = payload.len();
    payload.resize(length.next_multiple_of(16), 0);
    payload.extend(IMAGE);
    payload.extend(point.iter().flat_map(|value| value.to_le_bytes()));
    for layer in network.hidden() {
        payload.extend(checksum(layer).to_le_bytes());
    }
    (payload, length, point)
}

/// Good updates of version 1 to 4, then others, each with another fault.
pub(super) fn files() -> &'static [File] {
    static FILES: OnceLock<Vec<File>> = OnceLock::new();
    FILES.get_or_init(|| {
        let signed = |header: &Header, payload: &[u8], seed: [u8; 32]| {
            let signed = header.to_bytes();
            let signature = SigningKey::from_bytes(&seed).sign(&signed).to_bytes();
            [&signed[..], &signature, payload].concat()
        };
        let header = |payload: &[u8], model: usize, version: u32| Header {
            layout: 0,
            payload: payload.len() as u32,
            model: model as u32,
            version,
            over: 0,
            rows_crc: version,
            board: Header::board_of(BOARD).unwrap(),
            digest: digest(payload),
        };
        let mut all: Vec<File> = (1..=4)
            .map(|version| {
                let (payload, length, point) = payload(version as u8);
                File {
                    bytes: signed(&header(&payload, length, version), &payload, SEED),
                    version,
                    answer: Some(point),
                }
            })
            .collect();
        let (payload, length, _) = payload(9);
        let good = header(&payload, length, 9);
        let mut wrong = payload.clone();
        wrong[length.next_multiple_of(16) + 17] ^= 1;
        let mut no_model = payload.clone();
        no_model[20] ^= 1;
        let other_board = Header::board_of("another").unwrap();
        let refused = [
            // Signed by somebody else; for another board; of another order of weights.
            signed(&good, &payload, [8; 32]),
            signed(
                &Header {
                    board: other_board,
                    ..good
                },
                &payload,
                SEED,
            ),
            signed(&Header { layout: 2, ..good }, &payload, SEED),
            // Longer than a slot; with another payload than is signed.
            signed(
                &Header {
                    payload: SLOT,
                    ..good
                },
                &payload,
                SEED,
            ),
            signed(
                &Header {
                    digest: [0; 64],
                    ..good
                },
                &payload,
                SEED,
            ),
            // With wrong golden vectors, without any, and with no model.
            signed(&header(&wrong, length, 9), &wrong, SEED),
            signed(
                &header(&payload[..length], length, 9),
                &payload[..length],
                SEED,
            ),
            signed(&header(&no_model, length, 9), &no_model, SEED),
        ];
        all.extend(refused.map(|bytes| File {
            bytes,
            version: 9,
            answer: None,
        }));
        all
    })
}

/// A device's updates, none of which has come yet.
pub(super) fn device() -> Updates<Shared> {
    World::updates(&Rc::new(RefCell::new(Flash::new())))
}

/// A device, and what is known of it.
struct World {
    flash: Rc<RefCell<Flash>>,
    updates: Updates<Shared>,
    network: Option<Network>,
    /// The version that was confirmed last; 0 for the model that is built in.
    confirmed: u32,
    /// One that may run instead at the next start.
    trial: Option<u32>,
    /// The file of the update that was begun.
    begun: Option<usize>,
    /// The byte that comes next.
    next: usize,
    /// Whether torn words can't be read: a flash either has error correction or hasn't.
    ecc: Option<bool>,
}

impl World {
    fn new() -> Self {
        let flash = Rc::new(RefCell::new(Flash::new()));
        let updates = Self::updates(&flash);
        Self {
            flash,
            updates,
            network: None,
            confirmed: 0,
            trial: None,
            begun: None,
            next: 0,
            ecc: None,
        }
    }

    fn updates(flash: &Rc<RefCell<Flash>>) -> Updates<Shared> {
        let policy = Policy {
            key: SigningKey::from_bytes(&SEED).verifying_key().to_bytes(),
            board: BOARD,
            layout: 0,
            version: 0,
            pixels: IMAGE.len(),
            dim: 2,
            buffers: (32, 16),
        };
        let slots = [0..SLOT, SLOT..2 * SLOT];
        Updates::new(Shared(Rc::clone(flash)), slots, policy).unwrap()
    }

    /// A start with power, and a look at what runs.
    fn start(&mut self) {
        self.flash.borrow_mut().restore_power();
        self.updates = Self::updates(&self.flash);
        let from_slot = self.updates.boot(&mut self.network);
        assert_eq!(from_slot, self.network.is_some());
        (self.begun, self.next) = (None, 0);
        let status = self.updates.status();
        let expected = [Some(self.confirmed), self.trial];
        let version = status.version;
        assert!(
            expected.contains(&Some(version)),
            "version {version} runs, expected {expected:?}"
        );
        assert_eq!(from_slot, version > 0);
        if let Some(network) = &mut self.network {
            let file = files().iter().find(|file| file.version == version);
            let point = network.embed(&IMAGE).unwrap().0;
            assert_eq!(Some(point), file.and_then(|file| file.answer));
        }
        let on_trial = self.is_on_trial();
        // What is tried is tried once; what isn't tried now never will be.
        self.trial = on_trial.then_some(version);
        if !on_trial {
            self.confirmed = version;
        }
    }

    fn is_on_trial(&mut self) -> bool {
        matches!(
            self.updates.status().running,
            Running::Slot { on_trial: true, .. }
        )
    }

    fn begin(&mut self, number: usize, bytes: &mut Bytes<'_>) {
        let file = &files()[number];
        let mut header = file.bytes[..HEADER_LEN].to_vec();
        let changed = bytes.below(8) == 0;
        if changed {
            header[usize::from(bytes.u8()) % HEADER_LEN] ^= 1 << bytes.below(8);
        }
        match self.updates.begin(&header) {
            Ok(()) => {
                // What is refused later is signed, for this board, and fits.
                assert!(
                    !changed && !(4..=7).contains(&number),
                    "file {number} is begun"
                );
                assert!(file.version > self.confirmed && !self.is_on_trial());
                (self.begun, self.next) = (Some(number), 0);
            }
            Err(error) => assert!(!error.to_string().is_empty()),
        }
    }

    fn write(&mut self, bytes: &mut Bytes<'_>) {
        let Some(number) = self.begun else {
            assert!(self.updates.write(0, &[1; 8]).is_err());
            return;
        };
        let payload = &files()[number].bytes[HEADER_LEN..];
        let rest = &payload[self.next.min(payload.len())..];
        let part = &rest[..rest.len().min(PART)];
        let at = match bytes.below(8) {
            0 => u32::from(bytes.u8()),
            _ => self.next as u32,
        };
        match self.updates.write(at, part) {
            Ok(next) => {
                assert_eq!(at as usize, self.next);
                self.next += part.len();
                assert_eq!(next as usize, self.next);
            }
            Err(error) => assert!(!error.to_string().is_empty()),
        }
    }

    fn switch(&mut self) {
        let file = self.begun.map(|number| &files()[number]);
        let whole = file.is_some_and(|file| self.next == file.bytes.len() - HEADER_LEN);
        match self.updates.switch() {
            Ok(()) => {
                let file = file.expect("nothing was begun");
                assert!(whole);
                // Wrong golden vectors are noticed by trying.
                self.trial = file.answer.map(|_| file.version);
                self.begun = None;
            }
            Err(error) => {
                assert!(!error.to_string().is_empty());
                // The mark may be there, and couldn't be read back.
                if let Some(file) = file.filter(|_| whole) {
                    self.trial = file.answer.map(|_| file.version).or(self.trial);
                }
            }
        }
    }

    fn confirm(&mut self) {
        let on_trial = self.is_on_trial();
        match self.updates.confirm() {
            Ok(()) => {
                assert!(on_trial);
                self.confirmed = self.trial.take().expect("something was on trial");
            }
            // The mark may be there for all that: the next start tells.
            Err(error) => assert!(!error.to_string().is_empty()),
        }
    }
}

/// A device that is sent updates, whose power goes: what runs is what was confirmed last, or what
/// it was switched to and is tried once, with its own integers.
pub fn update(data: &[u8]) {
    let mut bytes = Bytes::new(data);
    let mut world = World::new();
    world.start();
    for _ in 0..40 {
        if bytes.is_empty() {
            break;
        }
        match bytes.below(10) {
            0 | 1 => {
                let number = bytes.below(files().len());
                world.begin(number, &mut bytes);
            }
            // All that is left of the payload, if nothing goes wrong.
            2 | 3 => (0..1 + bytes.below(12)).for_each(|_| world.write(&mut bytes)),
            4 => world.switch(),
            5 => world.confirm(),
            6 => world.start(),
            7 => {
                let tear = tear(&mut bytes);
                let after = bytes.below(48) as u32;
                let ecc = bytes.flag();
                let ecc = *world.ecc.get_or_insert(ecc);
                world.flash.borrow_mut().set_ecc(ecc);
                world.flash.borrow_mut().cut_power(after, tear);
            }
            8 => world.flash.borrow_mut().fail_read(bytes.u8().into()),
            _ => {
                // A start during which the power may go, and one after it.
                world.updates = World::updates(&world.flash);
                let mut network = None;
                let _ = world.updates.boot::<2, 32, 16>(&mut network);
                world.start();
            }
        }
        if world.flash.borrow().is_off() {
            world.start();
        }
    }
    // Whatever has happened, the next version can be installed.
    world.start();
    world.start();
    let confirmed = world.confirmed;
    if confirmed < 4 {
        world.begin(3, &mut Bytes::new(&[1]));
        for _ in 0..12 {
            world.write(&mut Bytes::new(&[1]));
        }
        world.switch();
        world.start();
        world.confirm();
        world.start();
        assert_eq!(world.confirmed, 4, "nothing is installed after {confirmed}");
    }
}
