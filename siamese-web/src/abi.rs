//! The functions that the module exports.
//!
//! A call takes what [`siamese_mailbox`] lends, at the address that this returns, and leaves its
//! answer there. It returns the answer's length in bytes; or a negative number: minus the length of
//! a sentence in UTF-8 that says what went wrong. Each does what the function of this name of
//! [`Session`] does, whose documentation says what goes in and out.

use std::cell::RefCell;

use crate::Session;
use crate::session::Answer;

thread_local! {
    /// A module of WebAssembly has one thread.
    static SESSION: RefCell<Session> = RefCell::default();
}

/// Calls a function of the session.
fn call(function: impl FnOnce(&mut Session) -> Answer) -> i32 {
    SESSION.with_borrow_mut(|session| match function(session) {
        // An answer fits into the memory of 2^31 bytes that there can be.
        Ok(length) => length as i32,
        Err(sentence) => {
            let sentence = sentence.as_bytes();
            let place = session.mailbox(sentence.len()).iter_mut();
            place.zip(sentence).for_each(|(place, byte)| *place = *byte);
            -(sentence.len() as i32)
        }
    })
}

/// Makes room for so many bytes in the mailbox; its address.
#[unsafe(no_mangle)] // SAFETY: nothing else has this name.
pub extern "C" fn siamese_mailbox(bytes: usize) -> usize {
    SESSION.with_borrow_mut(|session| session.mailbox(bytes).as_ptr().addr())
}

/// Exports functions of the session.
macro_rules! exports {
    ($($export:ident = $function:ident($($argument:ident: $type:ty),*);)*) => {
        $(
            #[doc = concat!("[`Session::", stringify!($function), "`].")]
            #[unsafe(no_mangle)] // SAFETY: nothing else has this name.
            pub extern "C" fn $export($($argument: $type),*) -> i32 {
                call(|session| session.$function($($argument),*))
            }
        )*
    };
}

exports! {
    siamese_open = open(length: usize);
    siamese_wipe = wipe();
    siamese_line = line(x: i32, y: i32, to_x: i32, to_y: i32);
    siamese_pad = pad();
    siamese_fit = fit(width: u16, height: u16, ink: u8);
    siamese_embed = embed();
    siamese_points = points(length: usize);
    siamese_nearest = nearest(count: usize);
    siamese_enrol = enrol(label: u16);
    siamese_forget = forget(label: u16);
    siamese_identify = identify();
    siamese_threshold = threshold(squared_steps: f64);
    siamese_entries = entries();
    siamese_name = name(label: u16, length: usize);
    siamese_names = names();
    siamese_save = save();
    siamese_load = load(length: usize);
}
