//! What a model costs a board, as far as it follows from the model.

use siamese_build::cost::{Mix, Timing, Work};
use siamese_build::{Board, Budget, Core, OwnedModel};
use siamese_core::embedder::{Buffers, embed_into};

fn tiny() -> OwnedModel {
    OwnedModel::read("tests/tiny.siam".as_ref()).unwrap()
}

#[test]
fn work_is_what_a_kernel_can_not_skip() {
    let file = tiny();
    let model = file.model();
    let sizes = model.header().sizes.map(usize::from);
    let inputs = model.header().input.activations();
    let pixels = model.header().input.pixels();
    // The activations of both hidden layers, which the buffers hold in the end.
    let active = |image: &[u8]| {
        let (shared, hidden1) = model.buffer_sizes();
        let (mut shared, mut hidden1) = (vec![0; shared], vec![0; hidden1]);
        let buffers = Buffers {
            shared: &mut shared,
            hidden1: &mut hidden1,
        };
        embed_into(&model, image, buffers, &mut vec![0; model.dim()]).unwrap();
        let count = |layer: &[u8]| layer.iter().filter(|&&unit| unit > 0).count();
        [count(&hidden1[..sizes[0]]), count(&shared[..sizes[1]])]
    };
    let (black, white) = (vec![0; pixels], vec![255; pixels]);
    let expected = |image: &[u8], inputs: usize| {
        let [first, second] = active(image);
        let products = inputs * sizes[0] + first * sizes[1] + second * sizes[2];
        ((inputs + first + second) as f64, products as f64)
    };
    let of = |images: &[&[u8]]| {
        let work = Work::of(&model, images.iter().copied()).unwrap().unwrap();
        assert_eq!(work.outputs, sizes.iter().sum::<usize>() as f64);
        (work.active, work.products)
    };
    let (dark, bright) = (expected(&black, 0), expected(&white, inputs));
    assert!(bright.1 > 5.0 * dark.1, "{dark:?} {bright:?}");
    assert_eq!(of(&[&black]), dark);
    assert_eq!(of(&[&white]), bright);
    let mean = |a: f64, b: f64| (a + b) / 2.0;
    let both = (mean(dark.0, bright.0), mean(dark.1, bright.1));
    assert_eq!(of(&[&black, &white]), both);

    let most = Work::most(&model);
    assert_eq!(most.products, model.header().macs() as f64);
    assert_eq!(most.active, (inputs + sizes[0] + sizes[1]) as f64);
    assert!(Work::of(&model, []).unwrap().is_none());
    assert!(Work::of(&model, [&black[1..]]).is_err());
}

#[test]
fn words_of_few_bits_count_apart() {
    let file = OwnedModel::read("../model/swift.siam".as_ref()).unwrap();
    let model = file.model();
    let [first, ..] = model.layers();
    let words = (first.outputs() / 8) as f64;
    let of = |image: &[u8]| Work::of(&model, [image]).unwrap().unwrap();
    // Levels of 2 bits are what 64 grey values have in common.
    let (dark, bright) = (of(&[63; 784]), of(&[64; 784]));
    let in_words = |work: &Work| (work.words, work.multiplied);
    assert_eq!(in_words(&dark), (0.0, 0.0));
    // More of one level than a list has room for: they are multiplied.
    assert_eq!(in_words(&bright), (0.0, 392.0 * words));
    assert!(bright.active < 392.0 && bright.outputs < first.outputs() as f64);
    assert_eq!(in_words(&Work::most(&model)), in_words(&bright));
    // So many rows of a checkerboard of 28 by 28, 14 inputs each, at one level.
    let rows = |rows: usize, grey: u8| {
        let mut image = [0; 784];
        image[..28 * rows].fill(grey);
        of(&image)
    };
    for grey in [64, 128, 192] {
        assert_eq!(in_words(&rows(10, grey)), (140.0 * words, 0.0));
        assert_eq!(in_words(&rows(11, grey)), (0.0, 154.0 * words));
    }

    let core = Core::CortexM4;
    let measured = core.measured().unwrap();
    let added = Work {
        words: bright.multiplied,
        multiplied: 0.0,
        ..bright
    };
    assert!(measured.instructions(&added) > measured.instructions(&dark) + added.words);
    assert!(measured.instructions(&bright) > 2.0 * measured.instructions(&added));
    assert_eq!(measured.within(&added), measured.within);
    assert!(measured.within(&bright) > 0.2);
    let budget = Budget::of(&file, Board::Mps2An386, &bright)
        .unwrap()
        .unwrap();
    assert!(measured.lanes > 0);
    assert_eq!(
        budget.embedding.code,
        measured.embedding.code + measured.lanes
    );
    assert_eq!(budget.device.code, measured.device.code + measured.lanes);
}

#[test]
fn cycles_follow_from_the_manuals_timings() {
    let mix = Mix {
        memory: 300.0,
        runs: 200.0,
        words: 400.0,
        taken: 50.0,
    };
    let is = |core: Core, expected: f64| {
        let cycles = core.timing().unwrap().cycles(&mix);
        assert!((cycles - expected).abs() < 1e-9, "{core}: {cycles}");
    };
    is(Core::CortexM0, 1.0 + 0.4 + 0.1);
    is(Core::CortexM0Plus, 1.0 + 0.4 + 0.05);
    is(Core::CortexM4, 1.0 + 0.2 + 0.1 + 0.1);
    assert_eq!(Core::CortexM7.timing(), None);
    assert_eq!(Timing::default().cycles(&mix), 1.0);
}

#[test]
fn a_budget_holds_the_model_and_what_the_flash_makes_the_core_wait() {
    let file = tiny();
    let work = |products: f64| Work {
        active: 60.0,
        products,
        outputs: 82.0,
        words: 0.0,
        multiplied: 0.0,
    };
    let of = |board: Board, products: f64| {
        let budget = Budget::of(&file, board, &work(products)).unwrap();
        budget.unwrap()
    };
    for board in Board::ALL {
        let budget = of(board, 3000.0);
        let packed = file.for_core(board.core()).unwrap();
        assert_eq!(budget.model as usize, packed.bytes().len(), "{board}");
        assert!(budget.misfit().is_none(), "{board}");
        assert!(
            budget.most.instructions > budget.mean.instructions,
            "{board}"
        );
        assert!(budget.device.code > budget.embedding.code, "{board}");
        assert!(of(board, 4000.0).mean.instructions > budget.mean.instructions);
    }
    // The whole model stays in the Pico's cache; the nRF52840 has none for data.
    assert_eq!(of(Board::Pico, 3000.0).mean.waiting, 0.0);
    assert_eq!(
        of(Board::Nrf52840dk, 3000.0).mean.waiting,
        3000.0 / 4.0 * 2.0
    );
    let time = of(Board::Nrf52840dk, 3000.0).mean;
    let milliseconds = time.milliseconds(Board::Nrf52840dk).unwrap();
    assert!((milliseconds * 64_000.0 / time.cycles.unwrap() - 1.0).abs() < 1e-9);
}

#[test]
fn what_does_not_fit_is_told_in_a_sentence() {
    let file = tiny();
    let work = Work::most(&file.model());
    let budget = Budget::of(&file, Board::Microbit, &work).unwrap().unwrap();
    let flash = Board::Microbit.program().bytes;
    let mut large = budget;
    large.model = flash - large.device.code;
    assert_eq!(large.misfit(), None);
    large.model += 1;
    let misfit = large.misfit().unwrap();
    assert_eq!((misfit.needed, misfit.bytes), (u64::from(flash) + 1, flash));
    let sentence = misfit.to_string();
    assert!(
        sentence.contains("microbit") && sentence.contains("262145 bytes of flash"),
        "{sentence}"
    );

    let mut large = budget;
    let ram = Board::Microbit.ram().bytes;
    large.device.data = ram - Board::Microbit.stack_bytes();
    assert_eq!(large.misfit(), None);
    large.device.data += 1;
    assert_eq!(large.misfit().unwrap().memory, "RAM");
    // A stack that is deeper than its room.
    let mut deep = budget;
    deep.device.stack = ram;
    assert_eq!(deep.misfit().unwrap().memory, "RAM");
}
