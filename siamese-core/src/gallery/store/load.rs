//! How a gallery is loaded, step by step.

use super::log::{Layout, Log, Walk, later};
use super::{Block, Job, Op};
use crate::gallery::stored::Fed;
use crate::gallery::{Gallery, LoadError};

/// Which of two logs is the newer one; `None` if both are empty.
pub(super) fn newest(logs: &[Log; 2]) -> Option<usize> {
    let [first, second] = logs;
    match (first.records, second.records) {
        (0, 0) => None,
        (_, 0) => Some(0),
        (0, _) => Some(1),
        _ => Some(usize::from(later(second.last, first.last))),
    }
}

#[derive(Debug, Clone, Copy)]
enum Stage {
    Begin,
    /// Looks what is in a slot.
    Scan(usize),
    /// Does what the records of a slot say.
    Apply(usize),
    Done,
}

/// Loads a gallery.
pub(super) struct Load<'g, const D: usize, const N: usize> {
    layout: Layout,
    gallery: &'g mut Gallery<D, N>,
    block: Block,
    stage: Stage,
    walk: Walk<D>,
    logs: [Log; 2],
    /// Whether what was applied suits the gallery.
    suits: Result<(), LoadError>,
    outcome: Result<bool, LoadError>,
}

impl<'g, const D: usize, const N: usize> Load<'g, D, N> {
    pub(super) fn new(layout: Layout, gallery: &'g mut Gallery<D, N>) -> Self {
        gallery.clear();
        Self {
            layout,
            gallery,
            block: Block::new(),
            stage: Stage::Begin,
            walk: Walk::new(layout, 0, 0, 0),
            logs: [Log::empty(0); 2],
            suits: Ok(()),
            outcome: Ok(false),
        }
    }

    pub(super) fn outcome(&self) -> Result<bool, LoadError> {
        self.outcome
    }

    fn go(&mut self, stage: Stage, slot: usize, limit: u32) {
        let range = self.layout.slot(slot);
        self.walk = Walk::new(self.layout, range.start, range.end, limit);
        self.stage = stage;
    }

    /// Begins with the newest records that are left, or is done.
    fn apply(&mut self) {
        self.gallery.clear();
        self.suits = Ok(());
        if let Some(slot) = newest(&self.logs) {
            let limit = self.logs.get(slot).map_or(0, |log| log.records);
            return self.go(Stage::Apply(slot), slot, limit);
        }
        let version = self.logs.iter().find_map(|log| log.version);
        self.outcome = version.map_or(Ok(false), |found| Err(LoadError::Version { found }));
        self.stage = Stage::Done;
    }

    /// The walk is over.
    #[inline(never)]
    fn walked(&mut self) {
        let found = *self.walk.log();
        match self.stage {
            Stage::Scan(slot) => {
                if let Some(log) = self.logs.get_mut(slot) {
                    *log = found;
                }
                if slot == 0 {
                    self.go(Stage::Scan(1), 1, u32::MAX);
                } else {
                    self.apply();
                }
            }
            Stage::Apply(slot) => {
                let Some(log) = self.logs.get_mut(slot) else {
                    return;
                };
                if found.records < log.records {
                    // A record that was whole a moment ago isn't now: those
                    // before it are left. Their number falls each time.
                    *log = found;
                    return self.apply();
                }
                let twins = self.suits.is_ok() && self.gallery.has_twins();
                if twins {
                    self.suits = Err(LoadError::Contents);
                }
                if self.suits.is_err() {
                    self.gallery.clear();
                }
                self.outcome = self.suits.map(|()| true);
                self.stage = Stage::Done;
            }
            Stage::Begin | Stage::Done => {}
        }
    }
}

impl<const D: usize, const N: usize> Job for Load<'_, D, N> {
    fn next(&mut self, ok: bool) -> Op {
        match self.stage {
            Stage::Begin => self.go(Stage::Scan(0), 0, u32::MAX),
            Stage::Scan(_) | Stage::Apply(_) => {
                let (_, length) = self.walk.wants();
                let read = ok.then(|| self.block.part(length) as &[u8]);
                let applies = matches!(self.stage, Stage::Apply(_));
                let (gallery, suits) = (&mut *self.gallery, &mut self.suits);
                self.walk.take(read, |fed| match fed {
                    _ if !applies => {}
                    Fed::Head(head) => {
                        if head.is_whole() {
                            // Whatever was before doesn't matter.
                            *suits = Ok(());
                        }
                        if suits.is_ok() {
                            *suits = gallery.begin(&head);
                        }
                    }
                    Fed::Entry(number, entry) if suits.is_ok() => {
                        *suits = gallery.put(number, entry);
                    }
                    Fed::End(_, Err(error)) => *suits = Err(error),
                    _ => {}
                });
            }
            Stage::Done => {}
        }
        loop {
            match self.stage {
                Stage::Done => return Op::Done,
                _ if self.walk.is_over() => self.walked(),
                _ => {
                    let (at, length) = self.walk.wants();
                    return Op::Read(at, length);
                }
            }
        }
    }

    fn block(&mut self, length: usize) -> &mut [u8] {
        self.block.part(length)
    }
}
