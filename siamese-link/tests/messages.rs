//! Frames: what goes in comes out, and damage is noticed.

use proptest::prelude::*;
use siamese_core::gallery::{Decision, Identified, LoadError, Neighbour};
use siamese_link::{
    Embedded, Fault, FrameError, Info, Listed, MAX_LISTED, Memory, Request, Response,
    frame_capacity, read_frame, write_frame,
};

const FAR: Neighbour = Neighbour {
    label: u16::MAX,
    distance_squared: u64::MAX,
    decision: Decision::Uncalibrated,
};

fn all_responses() -> Vec<Response<'static>> {
    vec![
        Response::Info(Info {
            link_version: u16::MAX,
            board: "a board with a rather long name, as they come",
            model: "thirty-two bytes is the longest.",
            training_digest: [255; 32],
            model_crc: u32::MAX,
            pixels: u32::MAX,
            dim: u16::MAX,
            tick_hz: u32::MAX,
            gallery_capacity: u16::MAX,
            can_save: true,
            refused: Some(LoadError::Capacity {
                found: u32::MAX as usize,
                capacity: u32::MAX as usize,
            }),
        }),
        Response::Embedding(Embedded {
            coordinates: heapless::Vec::from_slice(&[i16::MIN; 64]).unwrap(),
            hidden_crc: [u32::MAX; 2],
            ticks: u32::MAX,
        }),
        Response::Memory(Memory {
            stack_peak: u32::MAX,
            stack_size: u32::MAX,
        }),
        Response::Fault(Fault::Frame(FrameError::Message)),
        Response::Fault(Fault::StorageSize {
            needed: u32::MAX,
            room: u32::MAX,
        }),
        Response::Identified {
            answer: Some(Identified {
                nearest: FAR,
                runner_up: Some(FAR),
                decision: Decision::Uncalibrated,
            }),
            ticks: u32::MAX,
        },
        Response::Entries(
            [Listed {
                label: u16::MAX,
                examples: u16::MAX,
            }; MAX_LISTED]
                .into_iter()
                .collect(),
        ),
        Response::Fault(Fault::TooLong),
        Response::Fault(Fault::ImageSize {
            expected: u32::MAX,
            found: u32::MAX,
        }),
    ]
}

#[test]
fn the_longest_responses_fit_the_smallest_buffer() {
    for response in all_responses() {
        let mut buffer = vec![0; frame_capacity(0)];
        let frame = write_frame(&response, &mut buffer).unwrap();
        assert_eq!(frame.last(), Some(&0));
        assert_eq!(frame.iter().filter(|&&byte| byte == 0).count(), 1);
        assert_eq!(read_frame::<Response<'_>>(frame).unwrap(), response);
    }
}

#[test]
fn a_full_buffer_is_an_error() {
    let request = Request::Embed { pixels: &[7; 100] };
    assert_eq!(
        write_frame(&request, &mut [0; 100]),
        Err(FrameError::Capacity)
    );
    assert_eq!(write_frame(&request, &mut []), Err(FrameError::Capacity));
}

#[test]
fn empty_frames_are_errors() {
    assert!(read_frame::<Request<'_>>(&mut []).is_err());
    assert!(read_frame::<Request<'_>>(&mut [0]).is_err());
}

proptest! {
    #[test]
    fn images_fit_the_stated_capacity(pixels in prop::collection::vec(any::<u8>(), 0..1200)) {
        let request = Request::Embed { pixels: &pixels };
        let mut buffer = vec![0; frame_capacity(pixels.len())];
        let frame = write_frame(&request, &mut buffer).unwrap();
        prop_assert_eq!(read_frame::<Request<'_>>(frame).unwrap(), request.clone());
    }

    #[test]
    fn a_flipped_bit_is_noticed(
        pixels in prop::collection::vec(any::<u8>(), 0..100),
        position: prop::sample::Index,
        bit in 0u32..8,
    ) {
        let request = Request::Embed { pixels: &pixels };
        let mut buffer = vec![0; frame_capacity(pixels.len())];
        let frame = write_frame(&request, &mut buffer).unwrap();
        let position = position.index(frame.len() - 1);
        frame[position] ^= 1u8 << bit;
        // A receiver ends the frame at the first zero.
        let end = frame.iter().position(|&byte| byte == 0).unwrap();
        prop_assert!(read_frame::<Request<'_>>(&mut frame[..end]).is_err());
    }

    #[test]
    fn noise_never_panics(mut noise in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = read_frame::<Request<'_>>(&mut noise);
    }
}
