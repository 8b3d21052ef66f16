//! A device's gallery and its names, as a file has them: fetched, brought, and merged.

use std::collections::{BTreeMap, BTreeSet};

use siamese_core::gallery::names::{self, NameError, Names};
use siamese_core::gallery::{GalleryError, Label, LoadError, Record};
use siamese_link::{Fault, Request, Response};

use crate::device::{Device, LISTS};
use crate::error::Error;

/// Names that a file can have here.
const MOST_NAMES: usize = 1024;
/// The bytes of a name in it.
const MOST_BYTES: usize = 255;

/// The names of a file.
type FileNames = Names<MOST_NAMES, MOST_BYTES>;

/// Labels and what they are called.
type Called = BTreeMap<Label, String>;

/// What a device holds.
struct Held {
    /// A record of all entries.
    gallery: Vec<u8>,
    /// `None` if the device keeps no names.
    names: Option<Called>,
}

impl Device {
    /// What labels are called, by ascending label.
    ///
    /// # Errors
    /// [`Error::Fault`] with [`Fault::Unsupported`] if the device keeps no names; else
    /// as [`embed`](Self::embed).
    pub fn names(&mut self) -> Result<Vec<(Label, String)>, Error> {
        let mut names = Vec::new();
        let mut next = Some(0);
        while let Some(label) = next {
            let found = self.ask(&Request::NameFrom { label }, |response| match response {
                Response::NameOf(Some((label, name))) => Some(Some((label, name.to_owned()))),
                Response::NameOf(None) => Some(None),
                _ => None,
            })?;
            // A device that goes back would be listed for ever.
            if found.as_ref().is_some_and(|&(found, _)| found < label) {
                return Err(Error::Unexpected);
            }
            next = found.as_ref().and_then(|(label, _)| label.checked_add(1));
            names.extend(found);
        }
        Ok(names)
    }

    /// Names a label, or names it anew; an empty name takes it away. It is kept at the
    /// next [`save`](Self::save).
    ///
    /// # Errors
    /// [`Error::Fault`] with [`Fault::Name`] if the label can't have the name, with
    /// [`Fault::Unsupported`] if the device keeps no names; else as
    /// [`enrol`](Self::enrol).
    pub fn set_name(&mut self, label: Label, name: &str) -> Result<(), Error> {
        let name = name.as_bytes();
        self.change(&Request::Name { label, name }, |response| {
            matches!(response, Response::Named).then_some(())
        })
    }

    /// The device's gallery, with the user's thresholds, and its names if it has any: the
    /// bytes of a gallery's file, for [`names::split`] and
    /// [`Gallery::from_bytes`](siamese_core::Gallery::from_bytes). The same gallery
    /// always gives the same bytes. If it changes meanwhile, it is fetched again.
    ///
    /// # Errors
    /// [`Error::Unexpected`] if another host keeps changing the gallery,
    /// [`Error::Gallery`] if the device sends what is none, [`Error::Fault`] with
    /// [`Fault::Unsupported`] if it gives no entries; else as [`embed`](Self::embed).
    pub fn pull_gallery(&mut self) -> Result<Vec<u8>, Error> {
        let held = self.held()?;
        let mut file = held.gallery;
        let called = held.names.unwrap_or_default();
        if !called.is_empty() {
            let mut table = Box::new(FileNames::new());
            for (label, name) in &called {
                table.set(*label, name).map_err(Error::Names)?;
            }
            let mut buffer = vec![0; FileNames::STORED_MAX];
            file.extend_from_slice(table.to_bytes(&mut buffer).map_err(Error::Names)?);
        }
        Ok(file)
    }

    /// Puts the gallery of a file in place of the device's: its entries, the user's
    /// thresholds, and all names. [`pull_gallery`](Self::pull_gallery) then gives these
    /// bytes. What was saved stays until the next [`save`](Self::save).
    ///
    /// The names come first. If the device can't take them, it has its old ones
    /// again, and its gallery is as it was. An error on the line later leaves a part of
    /// the gallery: [`reset`](Self::reset) brings back what was saved, and the call may
    /// be repeated.
    ///
    /// # Errors
    /// [`Error::Gallery`] if the bytes are no gallery, or one of another model or too
    /// large for the device, [`Error::Names`] if the names behind it are damaged,
    /// [`Error::NoNames`] if the device keeps none. Nothing changes then. Else as
    /// [`set_name`](Self::set_name).
    pub fn push_gallery(&mut self, file: &[u8]) -> Result<(), Error> {
        let (record, called) = read(file)?;
        // From here on, what another host changes ends the session.
        self.open()?;
        let held = self.held()?;
        let here = checked(&record, &held)?;
        let names = both_names(&called, &held)?;
        let (found, capacity) = (record.entries() as usize, self.capacity()?);
        if found > capacity {
            return Err(Error::Gallery(LoadError::Capacity { found, capacity }));
        }
        if let Some(old) = names {
            self.rename(old, &called)?;
        }
        let labels: BTreeSet<Label> = here.listed().map(|entry| entry.label()).collect();
        for label in labels {
            self.forget(label)?;
        }
        for entry in record.listed() {
            self.insert(&record, entry.bytes())?;
        }
        let thresholds = encoded(&record, &[])?;
        let request = Request::SetThresholds {
            record: &thresholds,
        };
        self.change(&request, |response| {
            matches!(response, Response::ThresholdsSet).then_some(())
        })
    }

    /// Takes the gallery of a file of the same model into the device's, as
    /// [`Gallery::merge`](siamese_core::Gallery::merge) does; which of the file's labels
    /// became which of the device's, ascending. Thresholds stay as they are.
    ///
    /// Labels of one name are one. A name that is new to the device keeps its label if
    /// that is free there, else it gets the lowest free one. A label without a name stays
    /// what it is, unless the file has names and the label is called something on the
    /// device: then it gets a free one, too.
    ///
    /// # Errors
    /// As [`push_gallery`](Self::push_gallery), and [`Error::Fault`] with
    /// [`GalleryError::Full`] or [`GalleryError::Examples`] if there is no room, before
    /// anything was changed.
    pub fn merge_gallery(&mut self, file: &[u8]) -> Result<Vec<(Label, Label)>, Error> {
        let (record, called) = read(file)?;
        // From here on, what another host changes ends the session.
        self.open()?;
        let held = self.held()?;
        let here = checked(&record, &held)?;
        let names = both_names(&called, &held)?;
        let none = Called::new();
        let labels = placed(&record, &called, &here, names.unwrap_or(&none))?;
        let label = |label: Label| labels.get(&label).copied().unwrap_or(label);

        // What the device will do, so that it refuses nothing half-way.
        let prototypes = here.listed().filter(|entry| !entry.is_exemplar());
        let mut examples: BTreeMap<Label, u32> = prototypes
            .map(|entry| (entry.label(), entry.examples().into()))
            .collect();
        let (mut entries, capacity) = (here.entries() as usize, self.capacity()?);
        for entry in record.listed() {
            let there = examples.get_mut(&label(entry.label()));
            match there.filter(|_| !entry.is_exemplar()) {
                Some(there) => *there += u32::from(entry.examples()),
                None => entries += 1,
            }
        }
        let refused = |error| Err(Error::Fault(Fault::Gallery(error)));
        if entries > capacity {
            return refused(GalleryError::Full { capacity });
        }
        if examples.values().any(|&sum| sum > u16::MAX.into()) {
            return refused(GalleryError::Examples);
        }

        if let Some(old) = names {
            let mut new = old.clone();
            for (&from, name) in &called {
                new.entry(label(from)).or_insert_with(|| name.clone());
            }
            self.rename(old, &new)?;
        }
        for entry in record.listed() {
            let stored = entry.bytes().get(2..).unwrap_or_default();
            let label = label(entry.label()).to_le_bytes();
            self.insert(&record, &[&label, stored].concat())?;
        }
        Ok(labels.into_iter().collect())
    }

    /// The entries that there is room for.
    fn capacity(&mut self) -> Result<usize, Error> {
        Ok(self.info()?.gallery_capacity as usize)
    }

    /// What the device holds, all of one time.
    fn held(&mut self) -> Result<Held, Error> {
        'again: for _ in 0..LISTS {
            let mut stored = Vec::new();
            let (changes, first) = self.entry(0)?;
            let head = Record::read(&first).map_err(Error::Gallery)?;
            for number in 0..head.entries() {
                let (then, bytes) = self.entry(number)?;
                let record = Record::read(&bytes).map_err(Error::Gallery)?;
                if then != changes {
                    continue 'again;
                }
                if record.first() != number || record.listed().count() != 1 {
                    return Err(Error::Unexpected);
                }
                record
                    .listed()
                    .for_each(|entry| stored.extend(entry.bytes()));
            }
            let names = match self.names() {
                Ok(names) => Some(names.into_iter().collect()),
                Err(Error::Fault(Fault::Unsupported)) => None,
                Err(error) => return Err(error),
            };
            if self.entry(head.entries())?.0 == changes {
                let gallery = encoded(&head, &stored)?;
                Record::read(&gallery).map_err(Error::Gallery)?;
                return Ok(Held { gallery, names });
            }
        }
        Err(Error::Unexpected)
    }

    /// The changes that were counted, and the record of an entry.
    fn entry(&mut self, number: u32) -> Result<(u32, Vec<u8>), Error> {
        self.ask(&Request::Entry { number }, |response| match response {
            Response::Entry { changes, record } => Some((changes, record.to_vec())),
            _ => None,
        })
    }

    /// Brings one entry of the record's model.
    fn insert(&mut self, record: &Record<'_>, entry: &[u8]) -> Result<(), Error> {
        let record = encoded(record, entry)?;
        self.change(&Request::Insert { record: &record }, |response| {
            matches!(response, Response::Inserted { .. }).then_some(())
        })
    }

    /// Puts names in place of others. If the device refuses one, it gets the old ones
    /// back.
    fn rename(&mut self, old: &Called, new: &Called) -> Result<(), Error> {
        let renamed = self.change_names(old, new);
        if let Err(Error::Fault(Fault::Name(_))) = renamed {
            let now = self.names()?.into_iter().collect();
            self.change_names(&now, old)?;
        }
        renamed
    }

    fn change_names(&mut self, old: &Called, new: &Called) -> Result<(), Error> {
        // First away with all that go or change: names may be exchanged.
        for (label, name) in old {
            if new.get(label) != Some(name) {
                self.set_name(*label, "")?;
            }
        }
        for (label, name) in new {
            if old.get(label) != Some(name) {
                self.set_name(*label, name)?;
            }
        }
        Ok(())
    }
}

/// The gallery of a file, and its names.
fn read(file: &[u8]) -> Result<(Record<'_>, Called), Error> {
    let (gallery, table) = names::split(file).map_err(Error::Gallery)?;
    let record = Record::read(gallery).map_err(Error::Gallery)?;
    if !record.is_whole() {
        return Err(Error::Gallery(LoadError::Contents));
    }
    let mut called = Called::new();
    if !table.is_empty() {
        let table = FileNames::from_bytes(table).map_err(Error::Names)?;
        called.extend(table.iter().map(|(label, name)| (label, name.to_owned())));
    }
    Ok((record, called))
}

/// The device's gallery, if one of a file is of the same model.
fn checked<'h>(record: &Record<'_>, held: &'h Held) -> Result<Record<'h>, Error> {
    let here = Record::read(&held.gallery).map_err(Error::Gallery)?;
    if record.dim() != here.dim() {
        return Err(Error::Gallery(LoadError::Dimension {
            found: record.dim(),
            expected: here.dim().into(),
        }));
    }
    if record.fingerprint() != here.fingerprint() {
        return Err(Error::Gallery(LoadError::OtherModel {
            expected: here.fingerprint(),
            found: record.fingerprint(),
        }));
    }
    Ok(here)
}

/// The device's names, if it keeps any. If not, the file has none either.
fn both_names<'h>(called: &Called, held: &'h Held) -> Result<Option<&'h Called>, Error> {
    match &held.names {
        None if !called.is_empty() => Err(Error::NoNames),
        names => Ok(names.as_ref()),
    }
}

/// Which of a file's labels become which of a device's.
fn placed(
    record: &Record<'_>,
    called: &Called,
    here: &Record<'_>,
    names: &Called,
) -> Result<BTreeMap<Label, Label>, Error> {
    let labels = |record: &Record<'_>| -> BTreeSet<Label> {
        record.listed().map(|entry| entry.label()).collect()
    };
    let mut theirs = labels(record);
    theirs.extend(called.keys());
    let mut taken = labels(here);
    taken.extend(names.keys());
    let mut placed = BTreeMap::new();
    for &label in &theirs {
        let known = match called.get(&label) {
            Some(name) => names.iter().find(|&(_, other)| other == name),
            None => None,
        };
        let known = known.map(|(&known, _)| known);
        let is_itself =
            !called.contains_key(&label) && (called.is_empty() || !names.contains_key(&label));
        let place = known
            .or_else(|| (is_itself || !taken.contains(&label)).then_some(label))
            .or_else(|| {
                (0..=Label::MAX).find(|free| !taken.contains(free) && !theirs.contains(free))
            });
        let place = place.ok_or(Error::Names(NameError::Full {
            capacity: 1 << Label::BITS,
        }))?;
        taken.insert(place);
        placed.insert(label, place);
    }
    Ok(placed)
}

/// A record of these entries, with the model and the thresholds of another one.
fn encoded(record: &Record<'_>, entries: &[u8]) -> Result<Vec<u8>, Error> {
    let record = record.with_entries(entries).ok_or(Error::Unexpected)?;
    let mut bytes = vec![0; record.stored_len()];
    // There is just enough room.
    record.to_bytes(&mut bytes).map_err(|_| Error::Unexpected)?;
    Ok(bytes)
}
