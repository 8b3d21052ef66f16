//! Frames: how a message travels.
//!
//! ```text
//! 0x00   COBS of: kind u8 · session u32 · id u32 · message · CRC-32 u32   0x00
//! ```
//!
//! Numbers are little-endian, the message is postcard's, and the CRC-32
//! (ISO-HDLC) is that of all before it. COBS leaves no zero inside, so a zero is
//! always a delimiter, and bytes between two delimiters that are not exactly what
//! [`write_frame`] writes are no frame.
//!
//! # COBS with runs of zeros
//!
//! Most bytes of a picture are zeros, so this COBS has codes for runs of them. A zero
//! is appended to the payload, which the receiver takes off again, and all of it is
//! cut into blocks. Each block begins with its code:
//!
//! | code | the block |
//! |---|---|
//! | 0x01 to 0xDF | code - 1 bytes other than zero, and a zero, which isn't sent |
//! | 0xE0 | 223 bytes other than zero |
//! | 0xE1 to 0xFF | code - 0xDF zeros, 2 to 32, which aren't sent |
//!
//! A payload has one form: each block takes as much as it can. So a block of less than
//! 32 zeros alone, 0x01 among them, isn't followed by another block of zeros alone.
//! And since a payload ends with the zero that was appended, 0xE0 isn't the last block.
//!
//! The idea is that of an Internet-Draft of J. Carlson, S. Cheshire and M. Baker, "PPP
//! Consistent Overhead Byte Stuffing (COBS)", draft-ietf-pppext-cobs-00, 1997. Its codes
//! are others: a run has at most 15 zeros there, and some codes mean bytes and two zeros.
//! From one row of a picture to the next it is often more than 15.
//!
//! # Other versions
//!
//! Up to version 3 frames were plain COBS. [`open_frame`] reads as much of such a frame
//! as its version. A host of version 3 reads that of a [`Notice`], whose frames are the
//! same in plain COBS: they are short and have few zeros, also thanks to [`Tag::NONE`].
//! A device answers with a notice whatever it can't read, so that host and device of
//! different versions learn of it on either side.

use core::fmt;
use core::mem;

use crc::{Digest, Table};
use postcard::{de_flavors, ser_flavors};
use serde::{Deserialize, Serialize};
use siamese_core::checksum::CRC32;
use siamese_core::gallery::Record;

use crate::message::{Notice, Request, Response};

/// The version of the link; it is part of each frame's kind.
pub const LINK_VERSION: u16 = 4;

/// What ends and begins a frame.
const DELIMITER: u8 = 0;
/// Kind, session and id.
const HEADER: usize = 9;
/// The CRC-32.
const TRAILER: usize = 4;
/// The CRC-32 of any bytes and their own CRC-32 after them.
const RESIDUE: u32 = 0x2144_DF1C;
/// The most bytes of a block, which then has no zero.
const BLOCK: u8 = 223;
/// The code of a block of so many bytes, the last before those of runs.
const FULL: u8 = BLOCK + 1;
/// The longest run of zeros.
const RUN: u8 = u8::MAX - FULL + 1;

/// Which request a frame is, or belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Tag {
    /// A number that the host draws at random when it begins, so that it isn't
    /// answered with what was meant for another one.
    pub session: u32,
    /// The request's number: within a session, each is higher than those before.
    /// A frame that is sent again keeps its number.
    pub id: u32,
}

impl Tag {
    /// The tag of a [`Notice`], which belongs to no request. It has no zeros, so that a
    /// notice's frame is one in plain COBS, too.
    pub const NONE: Self = Self {
        session: u32::MAX,
        id: u32::MAX,
    };
}

/// What a frame holds, by its first byte: bit 7, the direction, the version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Kind {
    /// A [`Request`].
    Request,
    /// A [`Response`].
    Response,
    /// A [`Notice`].
    Notice,
}

impl Kind {
    const fn code(self) -> u8 {
        // Version 2 had no kind, and its frames began with a number below 16.
        let direction = match self {
            Self::Request => 0x80,
            Self::Response => 0xC0,
            Self::Notice => 0xE0,
        };
        direction | LINK_VERSION as u8
    }

    fn of_code(code: u8) -> Option<Self> {
        [Self::Request, Self::Response, Self::Notice]
            .into_iter()
            .find(|kind| kind.code() == code)
    }
}

/// The version of the link that a frame's first byte states.
const fn version_of(code: u8) -> u8 {
    // Versions 1 and 2 stated none.
    if code < 0x80 { 2 } else { code & 0x1F }
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for super::Request<'_> {}
    impl Sealed for super::Response<'_> {}
    impl Sealed for super::Notice {}
}

/// What can be sent: a [`Request`], [`Response`] or [`Notice`].
pub trait Message: Serialize + sealed::Sealed {
    /// The kind of its frames.
    const KIND: Kind;
}

impl Message for Request<'_> {
    const KIND: Kind = Kind::Request;
}

impl Message for Response<'_> {
    const KIND: Kind = Kind::Response;
}

impl Message for Notice {
    const KIND: Kind = Kind::Notice;
}

/// Why bytes are no frame, or a message doesn't fit one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum FrameError {
    /// The bytes are not COBS as frames have it.
    Cobs,
    /// The checksum is wrong.
    Checksum,
    /// The frame is of another version of the link.
    Version {
        /// The version; 2 stands for any before 3 too.
        found: u8,
    },
    /// The frame is whole, and the message in it is none of its kind, or one that needs
    /// a feature of this crate.
    Message,
    /// The buffer is too small for the frame.
    Capacity,
    /// The bytes stopped before the frame ended.
    Silence,
}

impl fmt::Display for FrameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cobs => f.write_str("the frame is not COBS"),
            Self::Checksum => f.write_str("the frame's checksum is wrong"),
            Self::Version { found } => write!(
                f,
                "the frame is of version {found} of the link, and this is version {LINK_VERSION}"
            ),
            Self::Message => f.write_str("the message in the frame is unknown or malformed"),
            Self::Capacity => f.write_str("the frame doesn't fit the buffer"),
            Self::Silence => f.write_str("the bytes stopped before the frame ended"),
        }
    }
}

impl core::error::Error for FrameError {}

/// The bytes of the longest frame of a request with an image of `pixels` grey
/// values, both delimiters included; at least those of the longest request or answer
/// without an image. A buffer of this size serves a device for receiving, decoding and answering.
#[must_use]
pub const fn frame_capacity(pixels: usize) -> usize {
    /// The bytes of the longest message without an image, an entry of the most
    /// coordinates: variant 1, changes 5, length 2; and some to spare for what later
    /// versions add.
    const LONGEST: usize = 1 + 5 + 2 + Record::ENTRY_MAX + 8;
    // Variant 1, label 3, whether it is an exemplar 1.
    let request = 5 + varint_len(pixels) + pixels;
    let message = if request > LONGEST { request } else { LONGEST };
    let payload = HEADER + message + TRAILER;
    2 + payload + payload / BLOCK as usize + 1
}

/// The bytes of a number as postcard writes it.
const fn varint_len(number: usize) -> usize {
    let bits = (usize::BITS - number.leading_zeros()) as usize;
    if bits == 0 { 1 } else { bits.div_ceil(7) }
}

/// Writes the frame of `message`, both delimiters included, to the start of
/// `buffer` and returns it.
///
/// # Errors
/// [`FrameError::Capacity`] if the buffer is too small.
/// [`FrameError::Message`] if the message needs a feature that this crate was built without.
pub fn write_frame<'b, M: Message>(
    tag: Tag,
    message: &M,
    buffer: &'b mut [u8],
) -> Result<&'b mut [u8], FrameError> {
    let mut writer = Writer::new(buffer);
    writer.header(M::KIND, tag);
    postcard::serialize_with_flavor(message, writer).map_err(|error| match error {
        postcard::Error::SerdeSerCustom => FrameError::Message,
        _ => FrameError::Capacity,
    })
}

/// Reads a message of one kind from a frame, as [`open_frame`] decodes it. Whatever
/// [`write_frame`] would not have written is refused.
///
/// # Errors
/// Any [`FrameError`] but [`FrameError::Silence`].
pub fn read_frame<'b, M>(frame: &[u8], buffer: &'b mut [u8]) -> Result<(Tag, M), FrameError>
where
    M: Message + Deserialize<'b>,
{
    let payload = open_frame(frame, buffer)?;
    Ok((payload.tag, payload.message()?))
}

/// Checks a frame of any kind, and decodes it into `buffer` as far as its message. What
/// comes out can be longer than the frame, but not than [`frame_capacity`] for the
/// message's image. The delimiters may be left out.
///
/// # Errors
/// [`FrameError::Cobs`], [`FrameError::Checksum`], [`FrameError::Version`],
/// [`FrameError::Message`] if it is too short for any, and [`FrameError::Capacity`] if
/// the buffer is too small.
pub fn open_frame<'b>(frame: &[u8], buffer: &'b mut [u8]) -> Result<Payload<'b>, FrameError> {
    let frame = frame.strip_prefix(&[DELIMITER]).unwrap_or(frame);
    let frame = frame.strip_suffix(&[DELIMITER]).unwrap_or(frame);
    if frame.contains(&DELIMITER) {
        return Err(FrameError::Cobs);
    }
    let mut receiver = Receiver::new();
    for &byte in frame {
        receiver.push(byte, buffer);
    }
    let fits = receiver.length <= buffer.len();
    match receiver.finish(buffer) {
        // What was cut off can be too short for a header.
        Ok(_) | Err(FrameError::Message) if !fits => Err(FrameError::Capacity),
        Ok(received) => Ok(received.payload),
        Err(error) => Err(match older_version(frame) {
            Some(found) => FrameError::Version { found },
            None => error,
        }),
    }
}

/// The version that a whole frame states in plain COBS, as frames were up to version 3.
fn older_version(frame: &[u8]) -> Option<u8> {
    let mut digest = CRC32.digest();
    let (mut first, mut length) = (DELIMITER, 0);
    let mut rest = frame;
    while let [code, after @ ..] = rest {
        let (block, next) = after.split_at_checked(usize::from(*code).checked_sub(1)?)?;
        if length == 0 {
            first = block.first().copied().unwrap_or(DELIMITER);
        }
        digest.update(block);
        length += block.len();
        if *code < u8::MAX && !next.is_empty() {
            digest.update(&[0]);
            length += 1;
        }
        rest = next;
    }
    let found = version_of(first);
    let is_whole = length > TRAILER && digest.finalize() == RESIDUE;
    (is_whole && u16::from(found) != LINK_VERSION).then_some(found)
}

/// A whole frame, decoded as far as its message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Payload<'b> {
    /// What it holds.
    pub kind: Kind,
    /// The request that it is, or belongs to.
    pub tag: Tag,
    body: &'b [u8],
}

impl<'b> Payload<'b> {
    /// The parts of a payload whose checksum was right, and is cut off.
    fn new(bytes: &'b [u8]) -> Result<Self, FrameError> {
        // What another version has after the kind isn't known here.
        let &code = bytes.first().ok_or(FrameError::Message)?;
        let kind = Kind::of_code(code).ok_or(FrameError::Version {
            found: version_of(code),
        })?;
        let (header, body) = bytes
            .split_first_chunk::<HEADER>()
            .ok_or(FrameError::Message)?;
        let [_, s0, s1, s2, s3, i0, i1, i2, i3] = *header;
        let tag = Tag {
            session: u32::from_le_bytes([s0, s1, s2, s3]),
            id: u32::from_le_bytes([i0, i1, i2, i3]),
        };
        Ok(Self { kind, tag, body })
    }

    /// The message.
    ///
    /// # Errors
    /// [`FrameError::Message`] if it is of another kind, unknown, not exactly as it
    /// would have been written, or needs a feature that this crate was built without.
    pub fn message<M: Message + Deserialize<'b>>(&self) -> Result<M, FrameError> {
        if self.kind != M::KIND {
            return Err(FrameError::Message);
        }
        let source = de_flavors::Slice::new(self.body);
        let mut deserializer = postcard::Deserializer::from_flavor(source);
        let message = M::deserialize(&mut deserializer).map_err(|_| FrameError::Message)?;
        let rest = deserializer.finalize().map_err(|_| FrameError::Message)?;
        // Of all forms that are read as one message, the one that is written is
        // the shortest: another is longer by a padded number.
        let length = postcard::serialize_with_flavor(&message, Count(0));
        if rest.is_empty() && length == Ok(self.body.len()) {
            Ok(message)
        } else {
            Err(FrameError::Message)
        }
    }
}

/// Counts the bytes of a message.
struct Count(usize);

impl ser_flavors::Flavor for Count {
    type Output = usize;

    fn try_push(&mut self, _: u8) -> postcard::Result<()> {
        self.0 += 1;
        Ok(())
    }

    fn try_extend(&mut self, bytes: &[u8]) -> postcard::Result<()> {
        self.0 += bytes.len();
        Ok(())
    }

    fn finalize(self) -> postcard::Result<usize> {
        Ok(self.0)
    }
}

/// Writes a frame: COBS, and the CRC-32 in the end. What doesn't fit the buffer is
/// dropped, and noticed when the frame ends.
struct Writer<'b> {
    buffer: &'b mut [u8],
    /// Where the code of the block that is being written goes.
    code_at: usize,
    /// The bytes in the block so far, which stand behind that.
    bytes: u8,
    /// Or the zeros in it, if it has no bytes.
    zeros: u8,
    digest: Digest<'static, u32, Table<1>>,
}

impl<'b> Writer<'b> {
    /// A frame with its first delimiter and room for the first code.
    fn new(buffer: &'b mut [u8]) -> Self {
        if let Some(first) = buffer.first_mut() {
            *first = DELIMITER;
        }
        Self {
            buffer,
            code_at: 1,
            bytes: 0,
            zeros: 0,
            digest: CRC32.digest(),
        }
    }

    fn header(&mut self, kind: Kind, tag: Tag) {
        self.push(kind.code());
        for byte in tag.session.to_le_bytes() {
            self.push(byte);
        }
        for byte in tag.id.to_le_bytes() {
            self.push(byte);
        }
    }

    /// A byte of the payload.
    #[inline(never)] // Compilers otherwise repeat it for each field of each message.
    fn push(&mut self, byte: u8) {
        self.digest.update(&[byte]);
        self.encode(byte);
    }

    fn encode(&mut self, byte: u8) {
        if byte != 0 {
            self.end_run();
            self.bytes += 1;
            self.put(self.code_at + usize::from(self.bytes), byte);
            if self.bytes == BLOCK {
                self.end_block(FULL);
            }
        } else if self.bytes > 0 {
            self.end_block(self.bytes + 1);
        } else {
            self.zeros += 1;
            if self.zeros == RUN {
                self.end_run();
            }
        }
    }

    /// Ends a block of zeros alone, if there is one.
    fn end_run(&mut self) {
        match self.zeros {
            0 => {}
            1 => self.end_block(1),
            zeros => self.end_block(FULL - 1 + zeros),
        }
    }

    fn end_block(&mut self, code: u8) {
        self.put(self.code_at, code);
        self.code_at += 1 + usize::from(self.bytes);
        self.bytes = 0;
        self.zeros = 0;
    }

    fn put(&mut self, at: usize, byte: u8) {
        if let Some(slot) = self.buffer.get_mut(at) {
            *slot = byte;
        }
    }

    fn end(mut self) -> Option<&'b mut [u8]> {
        let crc = mem::replace(&mut self.digest, CRC32.digest()).finalize();
        for byte in crc.to_le_bytes() {
            self.encode(byte);
        }
        // The zero that is appended.
        self.encode(0);
        self.end_run();
        self.put(self.code_at, DELIMITER);
        self.buffer.get_mut(..self.code_at + 1)
    }
}

impl<'b> ser_flavors::Flavor for Writer<'b> {
    type Output = &'b mut [u8];

    fn try_push(&mut self, byte: u8) -> postcard::Result<()> {
        self.push(byte);
        Ok(())
    }

    fn finalize(self) -> postcard::Result<&'b mut [u8]> {
        self.end().ok_or(postcard::Error::SerializeBufferFull)
    }
}

/// Decodes COBS byte by byte.
struct Decoder {
    /// Bytes that the block still has.
    left: u8,
    /// Whether a zero ends the block, which is the appended one if no other block comes.
    zero: bool,
    /// Whether another block of zeros alone would have belonged to this one.
    short: bool,
    /// Whether one came, so that this is no frame.
    split: bool,
}

impl Decoder {
    const fn new() -> Self {
        Self {
            left: 0,
            zero: false,
            short: false,
            split: false,
        }
    }

    /// Takes a byte, which is not a delimiter; what it decodes to: a byte, and how often.
    fn push(&mut self, byte: u8) -> (u8, u8) {
        if self.left > 0 {
            self.left -= 1;
            return (byte, 1);
        }
        // The zeros of a run but its last one.
        let run = byte.saturating_sub(FULL);
        let zeros = run + u8::from(self.zero);
        let is_run = byte == 1 || run > 0;
        self.left = if run > 0 { 0 } else { byte.wrapping_sub(1) };
        self.zero = byte != FULL;
        self.split |= self.short && is_run;
        self.short = is_run && run < RUN - 1;
        (0, zeros)
    }

    /// Whether the bytes so far are all of something, in its one form.
    const fn is_whole(&self) -> bool {
        self.left == 0 && self.zero && !self.split
    }
}

/// Receives frames byte by byte, and decodes them on the way: the buffer holds the
/// payload only. The CRC-32 of a frame that is longer than the buffer is checked
/// all the same, and its start is there, so that it can be refused by name.
pub(crate) struct Receiver {
    decoder: Decoder,
    /// Of the payload so far.
    digest: Digest<'static, u32, Table<1>>,
    /// Whether bytes came since the last delimiter.
    begun: bool,
    /// The bytes of the payload so far.
    length: usize,
}

/// A frame that [`Receiver`] received.
pub(crate) struct Received<'b> {
    /// The frame, decoded; its message is cut off if it is too long.
    pub payload: Payload<'b>,
    /// Whether it is longer than the buffer.
    pub too_long: bool,
}

impl Receiver {
    pub const fn new() -> Self {
        Self {
            decoder: Decoder::new(),
            digest: CRC32.digest(),
            begun: false,
            length: 0,
        }
    }

    /// Whether a frame has begun and not ended.
    pub const fn is_inside(&self) -> bool {
        self.begun
    }

    /// Takes a byte; whether it ends a frame, which [`finish`](Self::finish) then
    /// checks.
    pub fn push(&mut self, byte: u8, buffer: &mut [u8]) -> bool {
        if byte == DELIMITER {
            return self.begun;
        }
        self.begun = true;
        let (decoded, count) = self.decoder.push(byte);
        for _ in 0..count {
            self.keep(decoded, buffer);
        }
        false
    }

    /// A byte of the payload.
    #[inline(never)] // Compilers otherwise unroll the loop around it.
    fn keep(&mut self, byte: u8, buffer: &mut [u8]) {
        self.digest.update(&[byte]);
        if let Some(slot) = buffer.get_mut(self.length) {
            *slot = byte;
        }
        // Saturates if 4 GiB come out without a delimiter.
        self.length = self.length.saturating_add(1);
    }

    /// Gives the frame up, and waits for the next.
    pub fn give_up(&mut self) {
        *self = Self::new();
    }

    /// The frame that has ended; the next one begins.
    pub fn finish<'b>(&mut self, buffer: &'b [u8]) -> Result<Received<'b>, FrameError> {
        let Self {
            decoder,
            digest,
            length,
            ..
        } = mem::replace(self, Self::new());
        if !decoder.is_whole() {
            return Err(FrameError::Cobs);
        }
        if digest.finalize() != RESIDUE {
            return Err(FrameError::Checksum);
        }
        let too_long = length > buffer.len();
        let length = length.saturating_sub(TRAILER);
        let payload = Payload::new(buffer.get(..length).unwrap_or(buffer))?;
        Ok(Received { payload, too_long })
    }
}
