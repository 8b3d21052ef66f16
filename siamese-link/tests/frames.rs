//! Frames: what goes in comes out, and nothing else is one.

#[path = "common/frames.rs"]
mod description;

use description::{cobs, frame_of};
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
        assert_eq!(read_frame(frame), Ok((LONGEST_TAG, request)));
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
        let mut wire = frame_of(&[&[0x83, 1, 2, 3, 4, 5, 6, 7, 8], body].concat());
        if is_known {
            assert_eq!(frame(&request), wire, "{request:?}");
            assert_eq!(read_frame(&mut wire), Ok((TAG, request)));
        } else if !cfg!(any(feature = "galleries", feature = "names")) {
            let written = write_frame(TAG, &request, &mut [0; 99]).map(drop);
            assert_eq!(written, Err(FrameError::Message));
            let read = read_frame::<Request<'_>>(&mut wire);
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
        let mut wire = frame_of(&[&[0xC3, 1, 2, 3, 4, 5, 6, 7, 8], body].concat());
        if is_known {
            assert_eq!(frame(&response), wire, "{response:?}");
            assert_eq!(read_frame(&mut wire), Ok((TAG, response)));
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
        assert_eq!(read_frame(frame), Ok((LONGEST_TAG, response)));
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
    // The gallery was cut off: expected and found are 64 bits here.
    body.extend([1, 0, 2]);
    for _ in 0..2 {
        body.extend([0xFF; 9]);
        body.push(0x01);
    }
    body.extend([1, 0xFF, 0xFF, 0xFF, 0xFF, 0x0F]);
    let mut bytes = frame_of(&[&[0xC3], &[255; 8][..], &body].concat());
    assert!(bytes.len() <= frame_capacity(0), "{}", bytes.len());
    let (_, response) = read_frame::<Response<'_>>(&mut bytes).unwrap();
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
            &[0x83, 1, 2, 3, 4, 5, 6, 7, 8, 1][..],
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
        frame_of(&[0xC3, 1, 2, 3, 4, 5, 6, 7, 8, 9])[..12]
    );
    let mut notice = frame(&Notice::Ready);
    assert_eq!(notice[2], 0xE3);
    assert_eq!(open_frame(&mut notice).unwrap().kind, Kind::Notice);
}

#[test]
fn delimiters_may_be_left_out_and_nothing_else() {
    let whole = frame(&Request::Memory);
    let end = whole.len() - 1;
    for part in [&whole[..], &whole[1..], &whole[..end], &whole[1..end]] {
        let mut part = part.to_vec();
        assert_eq!(read_frame(&mut part), Ok((TAG, Request::Memory)));
    }
    for mut wrong in [
        vec![],
        vec![0],
        vec![0, 0],
        vec![0, 1, 0],
        [&[0], &whole[..]].concat(),
        [&whole[..], &[0]].concat(),
        whole[2..].to_vec(),
        whole[..end - 1].to_vec(),
    ] {
        assert!(read_frame::<Request<'_>>(&mut wrong).is_err(), "{wrong:?}");
    }
}

#[test]
fn a_message_has_one_form() {
    let header = [0x83, 1, 2, 3, 4, 5, 6, 7, 8];
    let read = |body: &[u8]| {
        let mut frame = frame_of(&[&header, body].concat());
        read_frame::<Request<'_>>(&mut frame).map(|(_, request)| format!("{request:?}"))
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
    let mut answer = frame(&Response::Saved);
    assert_eq!(
        read_frame::<Request<'_>>(&mut answer),
        Err(FrameError::Message)
    );
}

#[test]
fn a_payload_has_one_form() {
    // A payload of 254 bytes could end with the longest block, or an empty one
    // after it.
    let mut found = false;
    for filler in 1..=255u8 {
        let payload = [
            &[0x83, 1, 2, 3, 4, 5, 6, 7, 8, 1, 0xEE, 1][..],
            &[filler; 238],
        ]
        .concat();
        let crc = checksum(&payload).to_le_bytes();
        if crc.contains(&0) {
            continue;
        }
        found = true;
        let mut frame = frame_of(&payload);
        assert_eq!(frame[frame.len() - 2..], [1, 0]);
        assert!(read_frame::<Request<'_>>(&mut frame.clone()).is_ok());
        frame.remove(frame.len() - 2);
        assert_eq!(read_frame::<Request<'_>>(&mut frame), Err(FrameError::Cobs));
    }
    assert!(found);
}

#[test]
fn bytes_after_the_checksum_are_refused() {
    let payload = [0x83, 1, 2, 3, 4, 5, 6, 7, 8, 2];
    let whole = [&payload[..], &checksum(&payload).to_le_bytes()].concat();
    for extra in [&[0x78][..], &[0], &[5, 1, 2, 3, 4, 9], &[0xFF; 255]] {
        let mut longer = cobs(&[&whole[..], extra].concat());
        assert_eq!(
            read_frame::<Request<'_>>(&mut longer),
            Err(FrameError::Checksum)
        );
    }
    // Raw bytes after the frame's own, as a lost delimiter leaves them.
    let first = frame(&Request::Memory);
    for second in [Request::Info, Request::Embed { pixels: &[7; 40] }] {
        for between in [&[][..], &[1], &[2], &[0x40], &[0x80]] {
            let end = first.len() - 1;
            let mut merged = [&first[..end], between, &frame(&second)[1..]].concat();
            assert!(read_frame::<Request<'_>>(&mut merged).is_err());
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
        (&[0x84, 9, 9], 4),
        (&[0xC5], 5),
        // No version is 0, and this is none without a number.
        (&[0x80, 1], 0),
    ] {
        assert_eq!(
            read_frame::<Request<'_>>(&mut frame_of(payload)),
            Err(FrameError::Version { found })
        );
    }
    // And what is of this one, but too short.
    for payload in [&[][..], &[0x83], &[0x83, 1, 2, 3, 4, 5, 6, 7]] {
        assert_eq!(
            read_frame::<Request<'_>>(&mut frame_of(payload)),
            Err(FrameError::Message)
        );
    }
}

proptest! {
    #[test]
    fn images_come_out_as_they_went_in(pixels in prop::collection::vec(any::<u8>(), 0..1200)) {
        let request = Request::Embed { pixels: &pixels };
        let mut buffer = vec![0; frame_capacity(pixels.len())];
        let frame = write_frame(TAG, &request, &mut buffer).unwrap();
        prop_assert_eq!(read_frame(frame), Ok((TAG, request.clone())));
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
        for part in frame.split_mut(|&byte| byte == 0) {
            prop_assert!(read_frame::<Request<'_>>(part).is_err());
        }
    }

    #[test]
    fn what_is_read_is_what_would_be_written(mut payload in prop::collection::vec(0u8..20, 1..40)) {
        payload.splice(0..0, [0x83, 1, 2, 3, 4, 5, 6, 7, 8]);
        let whole = frame_of(&payload);
        if let Ok((tag, request)) = read_frame::<Request<'_>>(&mut whole.clone()) {
            prop_assert_eq!(tag, TAG);
            prop_assert_eq!(frame(&request), whole);
        }
    }

    #[test]
    fn noise_never_panics(mut noise in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = read_frame::<Request<'_>>(&mut noise.clone());
        let _ = read_frame::<Response<'_>>(&mut noise);
    }
}
