//! Frames: what goes in comes out, and nothing else is one.

#[path = "common/frames.rs"]
mod description;

use description::{cobs, frame_of, older_frame_of};
use proptest::prelude::*;
use siamese_core::checksum::checksum;
use siamese_core::gallery::names::NameError;
use siamese_core::gallery::{GalleryError, LoadError, Record};
use siamese_link::{
    Embedded, Entries, Fault, FrameError, Kind, Listed, MAX_LISTED, Memory, Message, Notice,
    Refused, Request, Response, Tag, frame_capacity, open_frame, read_frame, write_frame,
};

const TAG: Tag = Tag {
    session: 0x0403_0201,
    id: 0x0807_0605,
};
/// A tag whose bytes are the most that a frame can have of them: no zeros.
const LONGEST_TAG: Tag = Tag {
    session: u32::MAX,
    id: u32::MAX,
};

/// A name has at most 255 bytes.
const LONGEST_NAME: &str = match str::from_utf8(&[b'n'; 255]) {
    Ok(name) => name,
    Err(_) => "",
};

fn frame<M: Message>(message: &M) -> Vec<u8> {
    let mut buffer = vec![0; 70_000];
    write_frame(TAG, message, &mut buffer).unwrap().to_vec()
}

/// Room for whatever a frame decodes to.
fn room() -> Vec<u8> {
    vec![0; 70_000]
}

fn responses() -> Vec<Response<'static>> {
    let mut responses = vec![
        Response::Embedding(Embedded {
            coordinates: heapless::Vec::from_slice(&[i16::MIN; 64]).unwrap(),
            hidden_crc: [u32::MAX; 2],
            ticks: u32::MAX,
        }),
        Response::Memory(Memory {
            stack_peak: u32::MAX,
            stack_size: u32::MAX,
        }),
        Response::Fault(Fault::StorageSize {
            needed: u32::MAX,
            room: u32::MAX,
        }),
        Response::Fault(Fault::ImageSize {
            expected: u32::MAX,
            found: u32::MAX,
        }),
        Response::Entries(Entries {
            total: u32::MAX,
            changes: u32::MAX,
            entries: [Listed {
                label: u16::MAX,
                examples: u16::MAX,
            }; MAX_LISTED]
                .into_iter()
                .collect(),
        }),
        Response::Enrolled { examples: u16::MAX },
        Response::Forgotten { entries: u32::MAX },
    ];
    if cfg!(feature = "galleries") {
        responses.push(Response::Entry {
            changes: u32::MAX,
            record: &[0xFF; Record::ENTRY_MAX],
        });
        responses.push(Response::Fault(Fault::Entry(LoadError::Truncated {
            expected: usize::MAX,
            found: usize::MAX,
        })));
        responses.push(Response::Inserted { examples: u16::MAX });
    }
    if cfg!(feature = "names") {
        responses.push(Response::NameOf(Some((u16::MAX, LONGEST_NAME))));
    }
    responses
}

#[cfg(all(feature = "galleries", feature = "names"))]
#[test]
fn the_longest_requests_without_an_image_fit_the_smallest_buffer() {
    let requests = [
        Request::Insert {
            record: &[0xFF; Record::ENTRY_MAX],
        },
        Request::Name {
            label: u16::MAX,
            name: LONGEST_NAME.as_bytes(),
        },
        Request::SetThresholds {
            record: &[0xFF; Record::ENTRY_MAX],
        },
        Request::Entry { number: u32::MAX },
        Request::NameFrom { label: u16::MAX },
    ];
    for request in requests {
        let mut buffer = vec![0; frame_capacity(0)];
        let frame = write_frame(LONGEST_TAG, &request, &mut buffer).unwrap();
        assert_eq!(read_frame(frame, &mut room()), Ok((LONGEST_TAG, request)));
    }
}

/// A number of the wire never gets another meaning: what is new is appended.
#[test]
fn messages_keep_their_numbers() {
    let all = cfg!(all(feature = "galleries", feature = "names"));
    let requests: [(&[u8], Request<'_>, bool); 8] = [
        (&[1, 0], Request::Embed { pixels: &[] }, true),
        (&[10], Request::Open, true),
        (
            &[12, 9, 0],
            Request::PicturePart {
                from: 9,
                pixels: &[],
            },
            true,
        ),
        (&[14, 9], Request::Entry { number: 9 }, all),
        (&[15, 1, 7], Request::Insert { record: &[7] }, all),
        (&[16, 1, 7], Request::SetThresholds { record: &[7] }, all),
        (
            &[17, 9, 1, b'n'],
            Request::Name {
                label: 9,
                name: b"n",
            },
            all,
        ),
        (&[18, 9], Request::NameFrom { label: 9 }, all),
    ];
    for (body, request, is_known) in requests {
        let wire = frame_of(&[&[0x84, 1, 2, 3, 4, 5, 6, 7, 8], body].concat());
        if is_known {
            assert_eq!(frame(&request), wire, "{request:?}");
            assert_eq!(read_frame(&wire, &mut room()), Ok((TAG, request)));
        } else if !cfg!(any(feature = "galleries", feature = "names")) {
            let written = write_frame(TAG, &request, &mut [0; 99]).map(drop);
            assert_eq!(written, Err(FrameError::Message));
            let read = read_frame::<Request<'_>>(&wire, &mut room()).map(drop);
            assert_eq!(read, Err(FrameError::Message));
        }
    }
    let responses: [(&[u8], Response<'_>, bool); 11] = [
        (&[11], Response::Opened, true),
        (&[12, 9], Response::Picture { filled: 9 }, true),
        (&[3, 9], Response::Fault(Fault::Repeated), true),
        (
            &[13, 9, 1, 7],
            Response::Entry {
                changes: 9,
                record: &[7],
            },
            all,
        ),
        (&[14, 9], Response::Inserted { examples: 9 }, all),
        (&[15], Response::ThresholdsSet, all),
        (&[16], Response::Named, all),
        (&[17, 0], Response::NameOf(None), all),
        (&[17, 1, 9, 1, b'n'], Response::NameOf(Some((9, "n"))), all),
        (
            &[3, 11, 4],
            Response::Fault(Fault::Entry(LoadError::Checksum)),
            all,
        ),
        (
            &[3, 12, 0],
            Response::Fault(Fault::Name(NameError::Unusable)),
            all,
        ),
    ];
    for (body, response, is_known) in responses {
        let wire = frame_of(&[&[0xC4, 1, 2, 3, 4, 5, 6, 7, 8], body].concat());
        if is_known {
            assert_eq!(frame(&response), wire, "{response:?}");
            assert_eq!(read_frame(&wire, &mut room()), Ok((TAG, response)));
        }
    }
}

#[test]
fn the_longest_responses_fit_the_smallest_buffer() {
    for response in responses() {
        let mut buffer = vec![0; frame_capacity(0)];
        let frame = write_frame(LONGEST_TAG, &response, &mut buffer).unwrap();
        assert_eq!((frame.first(), frame.last()), (Some(&0), Some(&0)));
        assert_eq!(frame.iter().filter(|&&byte| byte == 0).count(), 2);
        assert_eq!(read_frame(frame, &mut room()), Ok((LONGEST_TAG, response)));
    }
}

/// A device's texts are as long as it likes; these are long ones.
#[test]
fn what_a_device_says_of_itself_fits_the_smallest_buffer() {
    let (board, model) = (
        "a board with a rather long name, as they come",
        "thirty-two bytes is the longest.",
    );
    let mut body = vec![0, 3];
    for text in [board, model] {
        body.push(text.len() as u8);
        body.extend(text.as_bytes());
    }
    body.extend([255; 32]);
    // CRC, pixels, coordinates, clock, capacity: the longest numbers.
    for bytes in [5, 5, 3, 5, 5] {
        body.extend(vec![0xFF; bytes - 1]);
        body.push(if bytes == 3 { 0x03 } else { 0x0F });
    }
    body.push(1);
    // The gallery was cut off: expected and found have as many bits as an address.
    body.extend([1, 0, 2]);
    let (whole, last) = if cfg!(target_pointer_width = "64") {
        (9, 0x01)
    } else {
        (4, 0x0F)
    };
    for _ in 0..2 {
        body.extend(vec![0xFF; whole]);
        body.push(last);
    }
    body.extend([1, 0xFF, 0xFF, 0xFF, 0xFF, 0x0F]);
    let bytes = frame_of(&[&[0xC4], &[255; 8][..], &body].concat());
    assert!(bytes.len() <= frame_capacity(0), "{}", bytes.len());
    let decoded = &mut room();
    let (_, response) = read_frame::<Response<'_>>(&bytes, decoded).unwrap();
    let Response::Info(info) = &response else {
        panic!("{response:?}");
    };
    assert_eq!((info.board, info.model), (board, model));
    assert_eq!((info.dim, info.gallery_capacity), (u16::MAX, u32::MAX));
    let refused = LoadError::Truncated {
        expected: usize::MAX,
        found: usize::MAX,
    };
    assert_eq!(info.refused, Some(Refused::Load(refused)));
    assert_eq!(info.session, Some(u32::MAX));
    let mut buffer = vec![0; frame_capacity(0)];
    write_frame(LONGEST_TAG, &response, &mut buffer).unwrap();
}

#[test]
fn the_stated_capacity_is_that_of_the_longest_request() {
    for pixels in (0..2000).chain([16_383, 16_384, 65_535]) {
        let request = Request::Enrol {
            label: u16::MAX,
            exemplar: true,
            pixels: &vec![255; pixels],
        };
        let mut buffer = vec![0; frame_capacity(pixels) + 1000];
        let frame = write_frame(LONGEST_TAG, &request, &mut buffer).unwrap();
        // A checksum with a zero in it can make it shorter by a code of COBS.
        let length = frame.len();
        assert!(length <= frame_capacity(pixels), "{pixels} pixels");
        if pixels > 320 {
            assert!(frame_capacity(pixels) - length <= 1, "{pixels} pixels");
        }
        assert_eq!(
            write_frame(LONGEST_TAG, &request, &mut buffer[..length - 1]),
            Err(FrameError::Capacity)
        );
        assert!(write_frame(LONGEST_TAG, &request, &mut buffer[..length]).is_ok());
    }
}

#[test]
fn every_buffer_that_is_too_small_is_an_error() {
    let request = Request::Embed { pixels: &[7; 600] };
    let length = frame(&request).len();
    for size in 0..length {
        let written = write_frame(TAG, &request, &mut vec![0; size]).map(|frame| frame.len());
        assert_eq!(written, Err(FrameError::Capacity), "{size}");
    }
}

#[test]
fn frames_are_as_described() {
    let pixels: Vec<u8> = (0..600).map(|pixel| (pixel % 300) as u8).collect();
    for pixels in [&pixels[..], &pixels[..254], &[], &[0; 300], &[9; 508]] {
        let payload = [
            &[0x84, 1, 2, 3, 4, 5, 6, 7, 8, 1][..],
            &match pixels.len() {
                0..128 => vec![pixels.len() as u8],
                length => vec![length as u8 | 128, (length >> 7) as u8],
            },
            pixels,
        ]
        .concat();
        assert_eq!(frame(&Request::Embed { pixels }), frame_of(&payload));
    }
    assert_eq!(
        frame(&Response::Saved)[..12],
        frame_of(&[0xC4, 1, 2, 3, 4, 5, 6, 7, 8, 9])[..12]
    );
    let notice = frame(&Notice::Ready);
    assert_eq!(notice[2], 0xE4);
    assert_eq!(open_frame(&notice, &mut room()).unwrap().kind, Kind::Notice);
}

#[test]
fn delimiters_may_be_left_out_and_nothing_else() {
    let whole = frame(&Request::Memory);
    let end = whole.len() - 1;
    for part in [&whole[..], &whole[1..], &whole[..end], &whole[1..end]] {
        assert_eq!(read_frame(part, &mut room()), Ok((TAG, Request::Memory)));
    }
    for wrong in [
        vec![],
        vec![0],
        vec![0, 0],
        vec![0, 1, 0],
        [&[0], &whole[..]].concat(),
        [&whole[..], &[0]].concat(),
        whole[2..].to_vec(),
        whole[..end - 1].to_vec(),
    ] {
        assert!(
            read_frame::<Request<'_>>(&wrong, &mut room()).is_err(),
            "{wrong:?}"
        );
    }
}

#[test]
fn a_message_has_one_form() {
    let header = [0x84, 1, 2, 3, 4, 5, 6, 7, 8];
    let read = |body: &[u8]| {
        let frame = frame_of(&[&header, body].concat());
        read_frame::<Request<'_>>(&frame, &mut room()).map(|(_, request)| format!("{request:?}"))
    };
    assert_eq!(read(&[2]), Ok("Memory".into()));
    assert_eq!(read(&[7, 5]), Ok("Forget { label: 5 }".into()));
    for wrong in [
        // Bytes after it, padded numbers, a flag that is neither, an end too
        // early, no request at all.
        &[2, 0][..],
        &[0x82, 0],
        &[7, 0x85, 0],
        &[3, 1, 2, 0],
        &[1, 3, 9, 9],
        &[7],
        &[],
        &[11],
        &[0xFF, 0xFF, 0xFF, 0xFF, 0x0F],
        &[1, 0xFF, 0xFF, 0xFF, 0xFF, 0x0F, 1],
    ] {
        assert_eq!(read(wrong), Err(FrameError::Message), "{wrong:?}");
    }
    // A message of another kind.
    let answer = frame(&Response::Saved);
    assert_eq!(
        read_frame::<Request<'_>>(&answer, &mut room()),
        Err(FrameError::Message)
    );
}

#[test]
fn a_payload_has_one_form() {
    // A payload of 223 bytes could end with the longest block, or an empty one
    // after it.
    let mut found = false;
    for filler in 1..=255u8 {
        let payload = [
            &[0x84, 1, 2, 3, 4, 5, 6, 7, 8, 1, 0xCF, 1][..],
            &[filler; 207],
        ]
        .concat();
        let crc = checksum(&payload).to_le_bytes();
        if crc.contains(&0) {
            continue;
        }
        found = true;
        let mut frame = frame_of(&payload);
        assert_eq!(frame[frame.len() - 2..], [1, 0]);
        assert!(read_frame::<Request<'_>>(&frame, &mut room()).is_ok());
        frame.remove(frame.len() - 2);
        assert_eq!(
            read_frame::<Request<'_>>(&frame, &mut room()),
            Err(FrameError::Cobs)
        );
    }
    assert!(found);
}

/// What blocks stand for, whether or not they are as long as they can be; `None` if the
/// last one isn't whole or ends without the zero that is appended.
fn expanded(blocks: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut rest = blocks;
    let mut ends_in_zero = false;
    while let [code, after @ ..] = rest {
        let (length, zeros) = match code {
            0 => return None,
            1..=0xDF => (usize::from(*code) - 1, 1),
            0xE0 => (223, 0),
            0xE1.. => (0, usize::from(*code) - 0xDF),
        };
        bytes.extend(after.get(..length)?);
        bytes.resize(bytes.len() + zeros, 0);
        ends_in_zero = zeros > 0;
        rest = &after[length..];
    }
    bytes.pop();
    ends_in_zero.then_some(bytes)
}

/// Whether a receiver takes this for COBS is compared with whether it is what is written
/// for anything; how often it is.
fn is_taken_as_written(blocks: &[u8], buffer: &mut [u8]) -> bool {
    let written =
        expanded(blocks).is_some_and(|bytes| cobs(&bytes) == [&[0], blocks, &[0]].concat());
    let taken = match open_frame(blocks, buffer) {
        // The CRC-32 of 0xFF is 0xFF000000, so that there is a whole frame of version 31
        // among them.
        Err(FrameError::Version { found: 31 }) => written,
        opened => opened != Err(FrameError::Cobs),
    };
    assert_eq!(taken, written, "{blocks:02X?}");
    taken
}

/// All sequences of so many of these.
fn sequences(pieces: &[&[u8]], length: usize, mut each: impl FnMut(&[u8])) {
    let count = pieces.len().pow(length as u32);
    let mut sequence = Vec::new();
    for number in 0..count {
        sequence.clear();
        let mut rest = number;
        for _ in 0..length {
            sequence.extend(pieces[rest % pieces.len()]);
            rest /= pieces.len();
        }
        each(&sequence);
    }
}

#[test]
fn what_is_taken_is_what_is_written() {
    let buffer = &mut room();
    let mut taken = 0;
    let mut judge = |blocks: &[u8]| taken += usize::from(is_taken_as_written(blocks, buffer));
    // All strings of up to two bytes, and longer ones of those that mean something else.
    let all: Vec<[u8; 1]> = (1..=255).map(|byte| [byte]).collect();
    let all: Vec<&[u8]> = all.iter().map(|byte| &byte[..]).collect();
    for length in 0..3 {
        sequences(&all, length, &mut judge);
    }
    let some: [&[u8]; 9] = [
        &[1],
        &[2],
        &[3],
        &[4],
        &[0xE0],
        &[0xE1],
        &[0xE2],
        &[0xFE],
        &[0xFF],
    ];
    for length in 3..7 {
        sequences(&some, length, &mut judge);
    }
    // Whole blocks, the longest ones too, and parts of them.
    let most = [&[0xDF][..], &[7; 222]].concat();
    let full = [&[0xE0][..], &[7; 223]].concat();
    let blocks: [&[u8]; 9] = [
        &[1],
        &[2, 7],
        &most,
        &full,
        &full[..223],
        &[0xE1],
        &[0xFE],
        &[0xFF],
        &[3, 7],
    ];
    for length in 1..6 {
        sequences(&blocks, length, &mut judge);
    }
    assert!(taken > 10_000, "{taken}");
}

#[test]
fn runs_of_zeros_of_every_length_come_out_anywhere() {
    // Twelve bytes are before the pixels: the first block ends after 211 of them.
    for before in (0..4).chain(206..216).chain(430..440) {
        for zeros in 0..=100 {
            for after in [0, 1, 2, 222, 223, 224] {
                let pixels = [vec![9; before], vec![0; zeros], vec![5; after]].concat();
                let mut payload = vec![0x84, 1, 2, 3, 4, 5, 6, 7, 8, 1];
                match pixels.len() {
                    length @ 0..128 => payload.push(length as u8),
                    length => payload.extend([length as u8 | 128, (length >> 7) as u8]),
                }
                payload.extend(&pixels);
                let request = Request::Embed { pixels: &pixels };
                let mut buffer = vec![0; frame_capacity(pixels.len())];
                let written = write_frame(TAG, &request, &mut buffer).unwrap();
                assert_eq!(written, frame_of(&payload), "{before}, {zeros}, {after}");
                let mut decoded = vec![0; frame_capacity(pixels.len())];
                assert_eq!(read_frame(written, &mut decoded), Ok((TAG, request)));
            }
        }
    }
}

#[test]
fn a_picture_of_zeros_is_short_and_its_payload_needs_room() {
    let request = Request::Embed { pixels: &[0; 784] };
    let frame = frame(&request);
    // Delimiters, header with the first zero, 24 runs of 32 zeros and one of 15, CRC-32.
    assert_eq!(frame.len(), 2 + 13 + 25 + 5);
    let needed = 9 + 1 + 2 + 784 + 4;
    for size in 0..needed {
        let read = read_frame::<Request<'_>>(&frame, &mut vec![0xAA; size]).map(drop);
        assert_eq!(read, Err(FrameError::Capacity), "{size}");
    }
    assert_eq!(
        read_frame(&frame, &mut vec![0xAA; needed]),
        Ok((TAG, request))
    );
    // Another version is told all the same.
    let later = frame_of(&[&[0x85][..], &[0; 5000]].concat());
    assert_eq!(
        open_frame(&later, &mut [0; 10]),
        Err(FrameError::Version { found: 5 })
    );
}

#[test]
fn bytes_after_the_checksum_are_refused() {
    let payload = [0x84, 1, 2, 3, 4, 5, 6, 7, 8, 2];
    let whole = [&payload[..], &checksum(&payload).to_le_bytes()].concat();
    for extra in [&[0x78][..], &[0], &[5, 1, 2, 3, 4, 9], &[0xFF; 255]] {
        let longer = cobs(&[&whole[..], extra].concat());
        assert_eq!(
            read_frame::<Request<'_>>(&longer, &mut room()),
            Err(FrameError::Checksum)
        );
    }
    // Raw bytes after the frame's own, as a lost delimiter leaves them.
    let first = frame(&Request::Memory);
    for second in [Request::Info, Request::Embed { pixels: &[7; 40] }] {
        for between in [&[][..], &[1], &[2], &[0x40], &[0x80]] {
            let end = first.len() - 1;
            let merged = [&first[..end], between, &frame(&second)[1..]].concat();
            assert!(read_frame::<Request<'_>>(&merged, &mut room()).is_err());
        }
    }
}

#[test]
fn every_fault_says_what_it_is() {
    let frames = [
        (FrameError::Cobs, "COBS"),
        (FrameError::Checksum, "checksum"),
        (FrameError::Version { found: 9 }, "version 9"),
        (FrameError::Message, "malformed"),
        (FrameError::Capacity, "fit the buffer"),
        (FrameError::Silence, "stopped"),
    ];
    for (error, words) in frames {
        assert!(error.to_string().contains(words), "{error}");
    }
    let size = Fault::ImageSize {
        expected: 784,
        found: 64,
    };
    let room = Fault::StorageSize {
        needed: 900,
        room: 512,
    };
    let faults = [
        (Fault::Unsupported, "doesn't know"),
        (Fault::TooLong, "longer than the device's buffer"),
        (size, "64 pixels and the model takes 784"),
        (
            Fault::Gallery(GalleryError::Full { capacity: 3 }),
            "all of its 3 entries",
        ),
        (Fault::NoStorage, "no flash"),
        (room, "needs 900 bytes of flash and there are 512"),
        (Fault::Storage, "could not be written"),
        (Fault::NoSession, "restarted"),
        (Fault::OtherSession, "another host"),
        (Fault::Repeated, "again"),
        (Fault::Entry(LoadError::Contents), "impossible value"),
        (Fault::Name(NameError::Full { capacity: 3 }), "all 3 places"),
    ];
    for (fault, words) in faults {
        assert!(fault.to_string().contains(words), "{fault}");
    }
}

#[test]
fn other_versions_are_named() {
    // Version 2 asked for its Info with this message; a later one may look like
    // that.
    for (payload, found) in [
        (&[0][..], 2),
        (&[3, 0, 1], 2),
        (&[0x83, 9, 9], 3),
        (&[0x85, 9, 9], 5),
        (&[0xC6], 6),
        // No version is 0, and this is none without a number.
        (&[0x80, 1], 0),
    ] {
        assert_eq!(
            read_frame::<Request<'_>>(&frame_of(payload), &mut room()),
            Err(FrameError::Version { found })
        );
    }
    // Frames of plain COBS, with runs of zeros and blocks that are none here: requests,
    // an answer, and a notice as version 3 sent them.
    for (payload, found) in [
        (&[&[0][..], &[0; 40]].concat()[..], 2),
        (&[3, 0, 1], 2),
        (&[&[1, 0x90, 6][..], &[0; 784]].concat(), 2),
        (&[0x83, 1, 2, 3, 4, 1, 0, 0, 0, 0], 3),
        (&[&[0x83][..], &[7; 300], &[0; 300]].concat(), 3),
        (&[0xC3, 1, 2, 3, 4, 1, 0, 0, 0, 9], 3),
        (&[0xE3, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0], 3),
        (&[&[0x85][..], &[0; 40]].concat(), 5),
    ] {
        let whole = older_frame_of(payload);
        let version = Err(FrameError::Version { found });
        assert_eq!(read_frame::<Request<'_>>(&whole, &mut room()), version);
        for at in 1..whole.len() - 1 {
            let mut damaged = whole.clone();
            damaged[at] ^= 0x10;
            assert_ne!(read_frame::<Request<'_>>(&damaged, &mut room()), version);
            assert_ne!(
                read_frame::<Request<'_>>(&whole[..at], &mut room()),
                version
            );
        }
    }
    // In plain COBS nothing is of this version, and a CRC-32 alone is of none.
    let plain = older_frame_of(&[&[0x84, 1, 2, 3, 4, 5, 6, 7, 8][..], &[0; 40]].concat());
    for frame in [&plain[..], &older_frame_of(&[])] {
        let read = read_frame::<Request<'_>>(frame, &mut room()).map(drop);
        assert!(
            matches!(read, Err(FrameError::Cobs | FrameError::Message)),
            "{read:?}"
        );
    }
    // And what is of this one, but too short.
    for payload in [&[][..], &[0x84], &[0x84, 1, 2, 3, 4, 5, 6, 7]] {
        assert_eq!(
            read_frame::<Request<'_>>(&frame_of(payload), &mut room()),
            Err(FrameError::Message)
        );
    }
}

/// A host of version 3 can't read another frame, and this one tells it why.
#[test]
fn a_notice_is_the_same_in_plain_cobs() {
    let mut errors = vec![
        FrameError::Cobs,
        FrameError::Checksum,
        FrameError::Message,
        FrameError::Capacity,
        FrameError::Silence,
    ];
    errors.extend((0..=255).map(|found| FrameError::Version { found }));
    let mut notices = vec![(Notice::Ready, vec![0])];
    for error in errors {
        let body = match error {
            FrameError::Cobs => vec![1, 0],
            FrameError::Checksum => vec![1, 1],
            FrameError::Version { found } => vec![1, 2, found],
            FrameError::Message => vec![1, 3],
            FrameError::Capacity => vec![1, 4],
            _ => vec![1, 5],
        };
        notices.push((Notice::Refused(error), body));
    }
    for (notice, body) in notices {
        let mut buffer = [0; 50];
        let written = write_frame(Tag::NONE, &notice, &mut buffer).unwrap();
        let payload = [&[0xE4][..], &[0xFF; 8], &body].concat();
        assert_eq!(written, older_frame_of(&payload), "{notice:?}");
        assert_eq!(read_frame(written, &mut room()), Ok((Tag::NONE, notice)));
    }
}

/// Pictures of runs.
fn runs() -> impl Strategy<Value = Vec<u8>> {
    let run = prop_oneof![
        (0..100usize).prop_map(|zeros| vec![0; zeros]),
        prop::collection::vec(1..=255u8, 0..40),
        prop::collection::vec(1..=255u8, 200..240),
    ];
    prop::collection::vec(run, 0..12).prop_map(|runs| runs.concat())
}

proptest! {
    #[test]
    fn pictures_of_runs_come_out_as_they_went_in(pixels in runs()) {
        let request = Request::Identify { pixels: &pixels };
        let mut buffer = vec![0; frame_capacity(pixels.len())];
        let frame = write_frame(TAG, &request, &mut buffer).unwrap();
        let mut decoded = vec![0; frame_capacity(pixels.len())];
        prop_assert_eq!(read_frame(frame, &mut decoded), Ok((TAG, request.clone())));
        let payload = expanded(&frame[1..frame.len() - 1]).unwrap();
        prop_assert_eq!(&cobs(&payload)[..], &frame[..]);
    }

    #[test]
    fn images_come_out_as_they_went_in(pixels in prop::collection::vec(any::<u8>(), 0..1200)) {
        let request = Request::Embed { pixels: &pixels };
        let mut buffer = vec![0; frame_capacity(pixels.len())];
        let frame = write_frame(TAG, &request, &mut buffer).unwrap();
        let decoded = &mut room();
        prop_assert_eq!(read_frame(frame, decoded), Ok((TAG, request.clone())));
    }

    #[test]
    fn a_flipped_bit_is_noticed(
        pixels in prop::collection::vec(any::<u8>(), 0..100),
        position: prop::sample::Index,
        bit in 0u32..8,
    ) {
        let mut frame = frame(&Request::Embed { pixels: &pixels });
        let position = 1 + position.index(frame.len() - 2);
        frame[position] ^= 1u8 << bit;
        // A receiver ends a frame at each delimiter.
        for part in frame.split(|&byte| byte == 0) {
            prop_assert!(read_frame::<Request<'_>>(part, &mut room()).is_err());
        }
    }

    #[test]
    fn what_is_read_is_what_would_be_written(mut payload in prop::collection::vec(0u8..20, 1..40)) {
        payload.splice(0..0, [0x84, 1, 2, 3, 4, 5, 6, 7, 8]);
        let whole = frame_of(&payload);
        if let Ok((tag, request)) = read_frame::<Request<'_>>(&whole, &mut room()) {
            prop_assert_eq!(tag, TAG);
            prop_assert_eq!(frame(&request), whole);
        }
    }

    #[test]
    fn noise_never_panics(noise in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = read_frame::<Request<'_>>(&noise, &mut room());
        let _ = read_frame::<Response<'_>>(&noise, &mut room());
    }
}
