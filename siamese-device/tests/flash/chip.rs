//! What the models of chips share: memory that is erased and written, power that goes, and
//! registers that the firmware's drivers read and write.

use std::cell::RefCell;
use std::ops::Range;
use std::rc::Rc;

use siamese_build::Board;

/// A model of a chip.
pub trait Chip: 'static {
    /// What a register or a word of the flash says.
    fn read(&mut self, address: usize) -> u32;

    /// Writes to a register or to the flash.
    fn write(&mut self, address: usize, value: u32);

    /// The handler of an interrupt that is due.
    fn interrupt(&mut self) -> Option<fn()> {
        None
    }

    /// Whether its flash can't be changed by mistake.
    fn is_locked(&self) -> bool;

    /// Starts anew, with the memory as it is.
    fn reset(&mut self);

    /// Its flash.
    fn memory(&mut self) -> &mut Memory;
}

/// How far an erasure or a write gets while the power goes.
#[derive(Debug, Clone, Copy)]
pub enum Tear {
    /// Not at all.
    Before,
    /// To its end.
    After,
    /// Half of its bytes.
    Half,
}

impl Tear {
    pub const ALL: [Self; 3] = [Self::Before, Self::After, Self::Half];
}

/// Flash.
#[derive(Clone, Default)]
pub struct Memory {
    pub bytes: Vec<u8>,
    /// Where the words are that a cut has torn.
    pub torn: Vec<usize>,
    /// Where the units began that were erased.
    pub erased: Vec<usize>,
    /// Erasures and writes until the power goes, and what it does to the next.
    pub cut: Option<(u32, Tear)>,
    pub off: bool,
    /// Erasures and writes that are refused.
    pub refuse: u32,
}

impl Memory {
    /// Flash with something in it, as no eraser has left it.
    pub fn new(bytes: usize) -> Self {
        let noise = |at: usize| (at.wrapping_mul(0x9E37_79B9) >> 13) as u8;
        Self {
            bytes: (0..bytes).map(noise).collect(),
            ..Self::default()
        }
    }

    /// Whether something is refused.
    pub fn refuses(&mut self) -> bool {
        let refuses = self.refuse > 0;
        self.refuse -= u32::from(refuses);
        refuses
    }

    fn tear(&mut self) -> Option<Tear> {
        let (left, tear) = self.cut.as_mut()?;
        if *left > 0 {
            *left -= 1;
            return None;
        }
        self.off = true;
        Some(*tear)
    }

    fn part(&mut self, range: Range<usize>) -> Range<usize> {
        match self.tear() {
            None | Some(Tear::After) => range,
            Some(Tear::Before) => range.start..range.start,
            Some(Tear::Half) => {
                self.torn.push(range.start);
                range.start..range.start + range.len() / 2
            }
        }
    }

    /// Erases a unit.
    pub fn erase(&mut self, range: Range<usize>) {
        if self.off {
            return;
        }
        self.torn.retain(|at| !range.contains(at));
        self.erased.push(range.start);
        let part = self.part(range);
        self.bytes[part].fill(0xFF);
    }

    /// Clears the bits that are 0 in these bytes.
    pub fn program(&mut self, start: usize, bytes: &[u8]) {
        if self.off {
            return;
        }
        let part = self.part(start..start + bytes.len());
        for (to, from) in self.bytes[part].iter_mut().zip(bytes) {
            *to &= from;
        }
    }

    pub fn word(&self, at: usize) -> u32 {
        u32::from_le_bytes(self.bytes[at..at + 4].try_into().unwrap())
    }
}

/// The two keys that unlock an STM32's controller, one after the other.
#[derive(Default)]
pub struct Keys(usize);

impl Keys {
    /// Takes a key; whether it is the last one.
    pub fn take(&mut self, key: u32) -> bool {
        let expected = [0x4567_0123, 0xCDEF_89AB].get(self.0);
        assert_eq!(Some(&key), expected, "it is locked until the next reset");
        self.0 += 1;
        self.0 == 2
    }
}

thread_local! {
    /// The chip of this test.
    static CHIP: RefCell<Option<Rc<RefCell<dyn Chip>>>> = const { RefCell::new(None) };
}

/// A chip under test.
pub struct Rig<C> {
    chip: Rc<RefCell<C>>,
    /// Bytes of the store that are erased at once.
    pub unit: u32,
    /// Bytes for the gallery, and behind them for the names.
    pub gallery: u32,
    pub names: u32,
    /// What of the flash may change.
    pub store: Range<usize>,
}

impl<C: Chip> Rig<C> {
    /// Puts a chip under the drivers' registers.
    pub fn new(chip: C, board: Board) -> Self {
        let chip = Rc::new(RefCell::new(chip));
        CHIP.set(Some(chip.clone()));
        let (flash, store) = (board.flash(), board.store());
        let region = store.region.expect("it is in the flash");
        let start = (region.origin - flash.origin) as usize;
        Self {
            chip,
            unit: store.unit,
            gallery: store.gallery,
            names: store.names,
            store: start..start + region.bytes as usize,
        }
    }

    pub fn memory<T>(&self, look: impl FnOnce(&mut Memory) -> T) -> T {
        look(self.chip.borrow_mut().memory())
    }

    pub fn is_locked(&self) -> bool {
        self.chip.borrow().is_locked()
    }

    pub fn is_off(&self) -> bool {
        self.memory(|memory| memory.off)
    }

    /// The power is back.
    pub fn restart(&self) {
        self.chip.borrow_mut().reset();
        self.memory(|memory| (memory.off, memory.cut) = (false, None));
    }
}

/// What the drivers take for a register.
pub struct Register(usize);

impl Register {
    /// The register at an address.
    ///
    /// # Safety
    /// None is needed here: the signature is that of the firmware.
    pub const unsafe fn at(address: usize) -> Self {
        Self(address)
    }

    /// Reads it.
    pub fn read(&self) -> u32 {
        let value = chip().borrow_mut().read(self.0);
        interrupt();
        value
    }

    /// Writes it.
    pub fn write(&self, value: u32) {
        chip().borrow_mut().write(self.0, value);
        interrupt();
    }
}

fn chip() -> Rc<RefCell<dyn Chip>> {
    CHIP.with_borrow(|chip| chip.clone().expect("a test has a chip"))
}

fn interrupt() {
    let handler = chip().borrow_mut().interrupt();
    if let Some(handler) = handler {
        handler();
    }
}
