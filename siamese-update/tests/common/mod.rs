//! A device without a processor: its flash, which loses power, and two tiny models.

#![allow(dead_code, reason = "each test program uses its own part")]

use std::cell::RefCell;
use std::ops::Range;
use std::rc::Rc;

use ed25519_dalek::{Signer, SigningKey};
use embedded_storage::nor_flash::{ErrorType, NorFlash, ReadNorFlash};
use siamese_core::gallery::test_flash::{Fault, TestFlash};
use siamese_core::image::{Input, Pooling};
use siamese_core::model::{self, Header as ModelHeader, LayerParts, Precision, Scales};
use siamese_core::{Embedder, Model, Requantise};
use siamese_update::{
    HEADER_LEN, Header, Mapped, ModelUpdates, Policy, SIGNED_LEN, Status, UpdateError, Updates,
    digest,
};

pub const PIXELS: usize = 16;
pub const BOARD: &str = "a-board";
/// The key of the device.
pub const SEED: [u8; 32] = [7; 32];

pub type Network = Embedder<'static, 2, 16, 8>;

/// A model of 16 pixels, 8, 4 and 2 outputs; another one for each seed.
pub fn model(seed: u32) -> Vec<u8> {
    sized_model(seed, 2)
}

/// The same with so many coordinates.
pub fn sized_model(seed: u32, dim: u16) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9E37_79B9) | 1;
    let mut weight = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        (state % 255) as i32 as i8
    };
    let header = ModelHeader {
        name: "tiny",
        input: Input {
            width: 4,
            height: 4,
            pooling: Pooling::None,
            deskew: false,
        },
        sizes: [8, 4, dim],
        precision: Precision::INT8,
        scales: Scales {
            hidden: [0.5; 2],
            embedding: 0.01,
        },
        training_digest: [0; 32],
        quality: None,
        calibration: None,
    };
    let shapes = [(16, 8), (8, 4), (4, usize::from(dim))];
    let layers = shapes.map(|(inputs, outputs)| {
        let weights: Vec<i8> = (0..inputs * outputs).map(|_| weight().max(-127)).collect();
        let biases: Vec<i32> = (0..outputs).map(|_| i32::from(weight()) * 16).collect();
        let factors = vec![Requantise::new(1 << 23, 31).unwrap(); outputs];
        (weights, biases, factors)
    });
    let parts = layers
        .each_ref()
        .map(|(weights, biases, requantise)| LayerParts {
            weights,
            biases,
            requantise,
        });
    let mut bytes = vec![0; model::encoded_len(&header).unwrap()];
    model::encode(&header, &parts, &mut bytes).unwrap();
    bytes
}

/// Some images.
pub fn images() -> [[u8; PIXELS]; 3] {
    [3, 5, 9].map(|step| std::array::from_fn(|pixel| (pixel * step * 17 % 256) as u8))
}

/// What a model gives for the images.
pub fn points(bytes: &[u8]) -> Vec<[i16; 2]> {
    let mut network = Embedder::<2, 16, 8>::new(Model::parse(bytes).unwrap()).unwrap();
    let points = images().map(|image| network.embed(&image).unwrap().0);
    points.to_vec()
}

/// The golden vectors of a model.
pub fn golden(bytes: &[u8]) -> Vec<u8> {
    let mut network = Embedder::<2, 16, 8>::new(Model::parse(bytes).unwrap()).unwrap();
    let mut vectors = Vec::new();
    for image in images() {
        vectors.extend(image);
        let point = network.embed(&image).unwrap();
        vectors.extend(point.0.iter().flat_map(|value| value.to_le_bytes()));
        for layer in network.hidden() {
            vectors.extend(siamese_core::checksum::checksum(layer).to_le_bytes());
        }
    }
    vectors
}

/// A model and its golden vectors.
pub fn payload(model: &[u8], golden: &[u8]) -> Vec<u8> {
    let mut payload = model.to_vec();
    payload.resize(model.len().next_multiple_of(16), 0);
    payload.extend(golden);
    payload
}

/// The header of an update for the device.
pub fn header(model: &[u8], payload: &[u8], version: u32) -> Header {
    Header {
        layout: 0,
        payload: payload.len() as u32,
        model: model.len() as u32,
        version,
        over: 0,
        rows_crc: 9,
        board: Header::board_of(BOARD).unwrap(),
        digest: digest(payload),
    }
}

/// The update file.
pub fn sealed(header: &Header, payload: &[u8], seed: [u8; 32]) -> Vec<u8> {
    let signed = header.to_bytes();
    assert_eq!(signed.len(), SIGNED_LEN);
    let signature = SigningKey::from_bytes(&seed).sign(&signed).to_bytes();
    [&signed[..], &signature, payload].concat()
}

/// A good update.
pub fn update(seed: u32, version: u32) -> Vec<u8> {
    let model = model(seed);
    let payload = payload(&model, &golden(&model));
    sealed(&header(&model, &payload, version), &payload, SEED)
}

/// A flash that several hands reach: the device's, and the test's.
pub struct Shared<const R: usize, const W: usize, const E: usize, const C: usize>(
    pub Rc<RefCell<TestFlash<R, W, E, C>>>,
);

impl<const R: usize, const W: usize, const E: usize, const C: usize> ErrorType
    for Shared<R, W, E, C>
{
    type Error = Fault;
}

impl<const R: usize, const W: usize, const E: usize, const C: usize> ReadNorFlash
    for Shared<R, W, E, C>
{
    const READ_SIZE: usize = R;

    fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), Fault> {
        self.0.borrow_mut().read(offset, bytes)
    }

    fn capacity(&self) -> usize {
        C
    }
}

impl<const R: usize, const W: usize, const E: usize, const C: usize> NorFlash
    for Shared<R, W, E, C>
{
    const WRITE_SIZE: usize = W;
    const ERASE_SIZE: usize = E;

    fn erase(&mut self, from: u32, to: u32) -> Result<(), Fault> {
        self.0.borrow_mut().erase(from, to)
    }

    fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), Fault> {
        self.0.borrow_mut().write(offset, bytes)
    }
}

impl<const R: usize, const W: usize, const E: usize, const C: usize> Mapped<'static>
    for Shared<R, W, E, C>
{
    fn mapped(&self, range: Range<u32>) -> Option<&'static [u8]> {
        // A processor faults at a word that can't be read: whoever comes here must have read
        // it before.
        let mut probe = self.0.borrow().clone();
        probe.restore_power();
        let range = range.start as usize..range.end as usize;
        let whole = range.start..range.end.next_multiple_of(R);
        let mut bytes = vec![0; whole.len()];
        let read = probe.read(whole.start as u32, &mut bytes);
        read.expect("a fault of the processor");
        bytes.truncate(range.len());
        Some(bytes.leak())
    }
}

/// A device whose slots are the two halves of a flash.
pub struct Device<const R: usize, const W: usize, const E: usize, const C: usize> {
    pub flash: Rc<RefCell<TestFlash<R, W, E, C>>>,
    pub updates: Updates<Shared<R, W, E, C>>,
    pub network: Option<Network>,
    /// Whether the model is a slot's.
    pub from_slot: bool,
}

pub fn policy() -> Policy {
    Policy {
        key: SigningKey::from_bytes(&SEED).verifying_key().to_bytes(),
        board: BOARD,
        layout: 0,
        version: 0,
        pixels: PIXELS,
        dim: 2,
        buffers: (16, 8),
    }
}

impl<const R: usize, const W: usize, const E: usize, const C: usize> Device<R, W, E, C> {
    pub fn new() -> Self {
        Self::with(TestFlash::new())
    }

    pub fn with(flash: TestFlash<R, W, E, C>) -> Self {
        Self::boot(Rc::new(RefCell::new(flash)), policy())
    }

    /// A start.
    pub fn boot(flash: Rc<RefCell<TestFlash<R, W, E, C>>>, policy: Policy) -> Self {
        let half = C as u32 / 2;
        let slots = [0..half, half..C as u32];
        let mut updates = Updates::new(Shared(flash.clone()), slots, policy).unwrap();
        let mut network = None;
        let from_slot = updates.boot(&mut network);
        assert_eq!(from_slot, network.is_some());
        Self {
            flash,
            updates,
            network,
            from_slot,
        }
    }

    /// Another one, with the power back.
    pub fn restart(&mut self) {
        self.flash.borrow_mut().restore_power();
        *self = Self::boot(self.flash.clone(), policy());
    }

    /// A device whose power may have gone, at its next start: `None` if that needs power, too.
    pub fn restart_as_it_is(&mut self) {
        *self = Self::boot(self.flash.clone(), policy());
    }

    pub fn status(&mut self) -> Status {
        self.updates.status()
    }

    /// All parts of an update's payload.
    pub fn send(&mut self, file: &[u8]) -> Result<(), UpdateError> {
        self.updates.begin(file)?;
        let mut at = 0;
        for part in file[HEADER_LEN..].chunks(192) {
            at = self.updates.write(at, part)?;
        }
        Ok(())
    }

    /// The whole way of an update.
    pub fn install(&mut self, file: &[u8]) -> Result<(), UpdateError> {
        self.send(file)?;
        self.updates.switch()?;
        self.restart_as_it_is();
        self.updates.confirm()
    }

    /// What it answers; nothing if its model is the one that is built in.
    pub fn points(&mut self) -> Option<Vec<[i16; 2]>> {
        let network = self.network.as_mut()?;
        let points = images().map(|image| network.embed(&image).unwrap().0);
        Some(points.to_vec())
    }
}
