//! A host and a device over a line that flips, drops, doubles, merges and delays
//! bytes: whatever is answered `Ok` is the answer to that very request, and is done
//! once.

mod common;

use std::collections::VecDeque;
use std::convert::Infallible;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use siamese_core::{Embedder, Embedding, Gallery, Model};
use siamese_device::{Device, Error, Fault, Halves, Line, Listed, Transport};
use siamese_link::server::{Core, End, SILENCE_MS, Step};
use siamese_link::{NoStore, Platform, Server, frame_capacity};

use common::{Random, random_images, small_image_model};

/// The requests of the large test.
const REQUESTS: usize = 100_000;
/// Goes on with that test until so many frames were damaged: `cargo xtask noise` sets it.
const DAMAGED: &str = "SIAMESE_DAMAGED_FRAMES";

/// Bytes in one direction.
#[derive(Default)]
struct Wire {
    bytes: Mutex<VecDeque<u8>>,
    changed: Condvar,
    closed: AtomicBool,
}

impl Wire {
    fn write(&self, bytes: &[u8]) {
        self.bytes.lock().unwrap().extend(bytes);
        self.changed.notify_all();
    }

    /// Waits until there are bytes or the wire is closed, but not longer than that.
    fn wait(&self, most: Duration) {
        let bytes = self.bytes.lock().unwrap();
        if bytes.is_empty() && !self.closed.load(Ordering::SeqCst) {
            drop(self.changed.wait_timeout(bytes, most).unwrap());
        }
    }

    fn read(&self, bytes: &mut [u8]) -> usize {
        let mut queue = self.bytes.lock().unwrap();
        let count = bytes.len().min(queue.len());
        for (slot, byte) in bytes.iter_mut().zip(queue.drain(..count)) {
            *slot = byte;
        }
        count
    }
}

/// What one direction does to the frames that it carries.
struct Damage {
    random: Random,
    /// One frame in so many is damaged.
    one_in: u64,
    noisy: Arc<AtomicBool>,
    /// A frame that is late: it comes before the next one.
    late: Vec<u8>,
    /// How many were damaged.
    damaged: u64,
}

impl Damage {
    fn new(seed: u64, one_in: u64, noisy: &Arc<AtomicBool>) -> Self {
        Self {
            random: Random::new(seed),
            one_in,
            noisy: Arc::clone(noisy),
            late: Vec::new(),
            damaged: 0,
        }
    }

    fn carry(&mut self, frame: &[u8]) -> Vec<u8> {
        let mut bytes = std::mem::take(&mut self.late);
        if !self.noisy.load(Ordering::SeqCst) || self.random.below(self.one_in) > 0 {
            bytes.extend(frame);
            return bytes;
        }
        self.damaged += 1;
        let mut frame = frame.to_vec();
        let at = self.random.below(frame.len() as u64) as usize;
        let end = (at + 1 + self.random.below(20) as usize).min(frame.len());
        match self.random.below(12) {
            0 => frame[at] ^= 1 << self.random.below(8),
            // One bit that ends the frame early, if there is one.
            1 => {
                if let Some(byte) = frame[at..].iter_mut().find(|byte| byte.is_power_of_two()) {
                    *byte = 0;
                }
            }
            2 => frame.drain(at..end).for_each(drop),
            3 => {
                let twice = frame[at..end].to_vec();
                frame.splice(at..at, twice);
            }
            // Delimiters are lost.
            4 => drop(frame.pop()),
            5 => frame = frame[1..].to_vec(),
            6 => {
                let last = frame.len() - 1;
                frame[last] = 1 << self.random.below(8);
            }
            // Delimiters, or the whole frame, come twice.
            7 => frame.extend([0; 3]),
            8 => frame.extend(frame.clone()),
            // The frame is lost, or late.
            9 => frame.clear(),
            10 => self.late = std::mem::take(&mut frame),
            _ => frame.splice(at..at, (0..10).map(|_| 0xA5)).for_each(drop),
        }
        bytes.extend(frame);
        bytes
    }
}

/// The line, and what its two ends share.
#[derive(Clone)]
struct Lines {
    to_device: Arc<Wire>,
    to_host: Arc<Wire>,
    noisy: Arc<AtomicBool>,
    window: usize,
    seed: u64,
    one_in: u64,
}

impl Transport for Lines {
    fn halves(&mut self) -> io::Result<Halves> {
        Ok(Halves {
            reader: Box::new(HostReader(Arc::clone(&self.to_host))),
            writer: Box::new(HostWriter(
                Arc::clone(&self.to_device),
                Damage::new(self.seed, self.one_in, &self.noisy),
            )),
        })
    }

    fn in_flight(&self) -> usize {
        self.window
    }
}

struct HostReader(Arc<Wire>);

impl io::Read for HostReader {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        self.0.wait(Duration::from_millis(5));
        match self.0.read(bytes) {
            0 => Err(io::ErrorKind::TimedOut.into()),
            count => Ok(count),
        }
    }
}

struct HostWriter(Arc<Wire>, Damage);

impl io::Write for HostWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let carried = self.1.carry(bytes);
        self.0.write(&carried);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The device's UART.
struct Uart {
    lines: Lines,
    damage: Damage,
}

impl embedded_io::ErrorType for Uart {
    type Error = Infallible;
}

impl embedded_io::Read for Uart {
    fn read(&mut self, bytes: &mut [u8]) -> Result<usize, Infallible> {
        loop {
            let count = self.lines.to_device.read(bytes);
            if count > 0 || self.lines.to_device.closed.load(Ordering::SeqCst) {
                return Ok(count);
            }
            self.lines.to_device.wait(Duration::from_millis(50));
        }
    }
}

impl embedded_io::ReadReady for Uart {
    fn read_ready(&mut self) -> Result<bool, Infallible> {
        let wire = &self.lines.to_device;
        Ok(!wire.bytes.lock().unwrap().is_empty() || wire.closed.load(Ordering::SeqCst))
    }
}

impl embedded_io::Write for Uart {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, Infallible> {
        let carried = self.damage.carry(bytes);
        self.lines.to_host.write(&carried);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> Result<(), Infallible> {
        Ok(())
    }
}

/// A clock that runs 100 times too fast, so that a silence is short.
struct FastClock(Instant);

impl Platform for FastClock {
    fn board(&self) -> &'static str {
        "a thread"
    }

    fn model_crc(&self) -> u32 {
        7
    }

    fn tick_hz(&self) -> u32 {
        1_000_000
    }

    fn ticks(&mut self) -> u32 {
        (self.0.elapsed().as_micros() * 100) as u32
    }
}

/// The real server, which restarts when it is asked to; how often it did.
fn serve(model: &[u8], lines: &Lines, seed: u64) -> usize {
    let model = Model::parse(model).unwrap();
    let mut embedder = Embedder::<2, 64, 16>::new(model).unwrap();
    let mut gallery = Gallery::<2, 70>::for_fingerprint(0);
    let mut buffer = [0; frame_capacity(64)];
    let mut uart = Uart {
        lines: lines.clone(),
        damage: Damage::new(seed, lines.one_in, &lines.noisy),
    };
    let mut restarts = 0;
    loop {
        let clock = FastClock(Instant::now());
        let server = Server::new(&mut embedder, &mut gallery, &mut buffer, NoStore, clock);
        let doze = |uart: &mut Uart| uart.lines.to_device.wait(Duration::from_millis(1));
        match server.unwrap().run_dozing(&mut uart, doze) {
            Ok(End::Restart) => restarts += 1,
            _ => return restarts,
        }
    }
}

/// The same line without threads, in a time of its own: a run is the same every
/// time, and waiting takes none.
#[derive(Clone)]
struct Simulated(Arc<Mutex<World>>);

/// The real server's core, and all that is on the way.
struct World {
    model: &'static [u8],
    core: Core<'static, 'static, StoppedClock, 2, 64, 16, 70>,
    to_device: VecDeque<u8>,
    to_host: VecDeque<u8>,
    up: Damage,
    down: Damage,
    start: Instant,
    now: Instant,
    last_byte: Instant,
    restarts: usize,
    window: usize,
}

/// How long a byte takes, at about 1 MBaud.
const BYTE: Duration = Duration::from_micros(10);

impl World {
    fn core(model: &'static [u8]) -> Core<'static, 'static, StoppedClock, 2, 64, 16, 70> {
        let model = Model::parse(model).unwrap();
        let embedder = Box::leak(Box::new(Embedder::<2, 64, 16>::new(model).unwrap()));
        let gallery = Box::leak(Box::new(Gallery::<2, 70>::for_fingerprint(0)));
        let buffer = Box::leak(Box::new([0; frame_capacity(64)]));
        Core::new(embedder, gallery, buffer, StoppedClock).unwrap()
    }

    fn new(
        model: &'static [u8],
        one_in: u64,
        window: usize,
        noise: (u64, &Arc<AtomicBool>),
    ) -> Self {
        let (seed, noisy) = noise;
        let now = Instant::now();
        Self {
            model,
            core: Self::core(model),
            to_device: VecDeque::new(),
            to_host: VecDeque::new(),
            up: Damage::new(seed, one_in, noisy),
            down: Damage::new(!seed, one_in, noisy),
            start: now,
            now,
            last_byte: now,
            restarts: 0,
            window,
        }
    }

    fn say(&mut self) {
        self.to_host.extend(self.down.carry(self.core.outgoing()));
    }

    /// What a server does with a byte.
    fn take(&mut self, byte: u8) {
        self.now += BYTE;
        self.last_byte = self.now;
        match self.core.push(byte) {
            Step::Receive => return,
            Step::Save => self.core.saved(Err(Fault::NoStorage)),
            Step::Restart => {
                self.say();
                self.restarts += 1;
                self.core = Self::core(self.model);
                self.core.start();
            }
            _ => {}
        }
        self.say();
    }
}

impl Line for Simulated {
    fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut world = self.0.lock().unwrap();
        let carried = world.up.carry(bytes);
        world.to_device.extend(carried);
        Ok(())
    }

    fn receive(&mut self, bytes: &mut VecDeque<u8>, until: Instant) -> io::Result<()> {
        let mut world = self.0.lock().unwrap();
        while world.to_host.is_empty() {
            let silent = world.last_byte + Duration::from_millis(SILENCE_MS.into());
            if let Some(byte) = world.to_device.pop_front() {
                world.take(byte);
            } else if world.core.is_receiving() && silent <= until {
                world.now = world.now.max(silent);
                world.core.give_up();
                world.say();
            } else {
                world.now = world.now.max(until);
                break;
            }
        }
        bytes.append(&mut world.to_host);
        Ok(())
    }

    fn now(&self) -> Instant {
        self.0.lock().unwrap().now
    }

    fn in_flight(&self) -> usize {
        self.0.lock().unwrap().window
    }
}

/// A clock that nobody needs.
struct StoppedClock;

impl Platform for StoppedClock {
    fn board(&self) -> &'static str {
        "simulated"
    }

    fn model_crc(&self) -> u32 {
        7
    }

    fn tick_hz(&self) -> u32 {
        1
    }

    fn ticks(&mut self) -> u32 {
        0
    }
}

/// A host's session with the device, and what the device must hold.
struct Session {
    open: Box<dyn FnMut() -> Device>,
    noisy: Arc<AtomicBool>,
    /// How long a host waits on the noisy line, and on the healed one.
    patience: [Duration; 2],
    device: Device,
    hosts: u64,
    images: Vec<Vec<u8>>,
    answers: Vec<(Embedding<2>, [u32; 2])>,
    here: Gallery<2, 70>,
    requests: usize,
    failures: usize,
}

impl Session {
    fn new(
        model: &[u8],
        noisy: &Arc<AtomicBool>,
        patience: [Duration; 2],
        mut open: Box<dyn FnMut() -> Device>,
    ) -> Self {
        let model = Model::parse(model).unwrap();
        let mut embedder = Embedder::<2, 64, 16>::new(model).unwrap();
        let images = random_images(300, 64, 5);
        let answers = images
            .iter()
            .map(|image| {
                let point = embedder.embed(image).unwrap();
                let hidden = embedder.hidden().map(siamese_core::checksum::checksum);
                (point, hidden)
            })
            .collect();
        Self {
            device: open(),
            open,
            noisy: Arc::clone(noisy),
            patience,
            hosts: 1,
            images,
            answers,
            here: Gallery::new(&model).unwrap(),
            requests: 0,
            failures: 0,
        }
    }

    /// Another host takes the line, whatever is on it.
    fn reopen(&mut self) {
        self.hosts += 1;
        self.device = (self.open)();
        self.set_noisy(true);
    }

    fn set_noisy(&mut self, noisy: bool) {
        self.noisy.store(noisy, Ordering::SeqCst);
        self.device.set_timeout(self.patience[usize::from(!noisy)]);
    }

    /// What was answered, if anything.
    fn count<A>(&mut self, requests: usize, answer: Result<A, Error>) -> Option<A> {
        self.requests += requests;
        match answer {
            Ok(answer) => Some(answer),
            Err(Error::Timeout(_)) => {
                self.failures += requests;
                None
            }
            // Of an earlier host, whose frame was late.
            Err(Error::Fault(Fault::OtherSession)) => None,
            Err(error) => panic!("{error}"),
        }
    }

    fn embed(&mut self, at: usize, count: usize) {
        let images = self.images[at..at + count].to_vec();
        let found = self.device.embed_all(images, |_, _| {});
        if let Some(found) = self.count(count, found) {
            assert_eq!(found.len(), count);
            for (found, (point, hidden)) in found.iter().zip(&self.answers[at..]) {
                assert_eq!(found.coordinates[..], point.0);
                assert_eq!(found.hidden_crc, *hidden);
            }
        }
    }

    fn identify(&mut self, at: usize) {
        let found = self.device.identify(&self.images[at]);
        if let Some(found) = self.count(1, found) {
            assert_eq!(found.answer, self.here.identify(&self.answers[at].0));
        }
    }

    fn verify(&mut self, at: usize, label: u16) {
        let found = match self.device.verify(label, &self.images[at]) {
            Err(Error::Fault(Fault::Gallery(error))) => Ok(Err(error)),
            other => other.map(Ok),
        };
        if let Some(found) = self.count(1, found) {
            assert_eq!(found, self.here.verify(label, &self.answers[at].0));
        }
    }

    /// A change: `there` on the device, `here` on this side. If no answer comes, it
    /// was done or not; the list tells, once the line has healed.
    fn change<A: PartialEq + std::fmt::Debug>(
        &mut self,
        there: impl FnOnce(&mut Device) -> Result<A, Error>,
        here: impl FnOnce(&mut Gallery<2, 70>) -> A,
    ) {
        let mut after = self.here.clone();
        let expected = here(&mut after);
        let answer = there(&mut self.device);
        if let Some(answer) = self.count(1, answer) {
            assert_eq!(answer, expected);
            self.here = after;
            return;
        }
        self.set_noisy(false);
        let listed = self.device.entries().unwrap();
        if listed != list(&self.here) {
            assert_eq!(listed, list(&after), "neither done nor undone");
            self.here = after;
        }
        self.set_noisy(true);
    }

    /// The line heals: the next requests are right.
    fn heal(&mut self) {
        self.set_noisy(false);
        let failures = self.failures;
        let at = self.requests % 280;
        self.identify(at);
        self.embed(at, 3);
        assert_eq!(self.device.entries().unwrap(), list(&self.here));
        assert_eq!(self.failures, failures);
        self.set_noisy(true);
    }
}

fn list(gallery: &Gallery<2, 70>) -> Vec<Listed> {
    let entries = gallery.entries().iter();
    entries
        .map(|entry| Listed {
            label: entry.label(),
            examples: entry.examples(),
        })
        .collect()
}

/// Asks for all kinds of things; how many requests, and how many resets.
fn ask(session: &mut Session, requests: usize, seed: u64) -> (usize, usize) {
    let (mut random, mut resets) = (Random::new(seed), 0);
    let mut below = |limit: u64| random.below(limit) as usize;
    session.set_noisy(true);
    while session.requests < requests {
        let (at, label) = (below(280), below(12) as u16);
        match below(1000) {
            0..400 => session.embed(at, 1 + below(20)),
            400..600 => session.identify(at),
            600..700 => session.verify(at, label),
            700..850 => {
                let (image, point) = (session.images[at].clone(), session.answers[at].0);
                session.change(
                    |device| device.enrol(label, false, &image),
                    |gallery| gallery.enrol(label, &point).unwrap(),
                );
            }
            850..880 => session.change(
                |device| device.forget(label),
                |gallery| gallery.forget(label) as u32,
            ),
            880..960 => {
                let listed = session.device.entries();
                if let Some(listed) = session.count(1, listed) {
                    assert_eq!(listed, list(&session.here));
                }
            }
            960..985 => {
                let info = session.device.info();
                if let Some(info) = session.count(1, info) {
                    assert_eq!((info.model_crc, info.gallery_capacity), (7, 70));
                }
            }
            985..990 => session.heal(),
            990..995 => {
                resets += 1;
                let fingerprint = session.here.fingerprint();
                session.change(Device::reset, |gallery| {
                    *gallery = Gallery::for_fingerprint(fingerprint);
                });
            }
            _ => session.reopen(),
        }
    }
    session.heal();
    println!(
        "{} requests: {} without an answer, {} hosts, {resets} resets",
        session.requests, session.failures, session.hosts
    );
    assert!(
        session.requests - session.failures > requests / 10,
        "the test is void"
    );
    (session.requests, resets)
}

/// Asks so often; how often it was, and how many frames were damaged.
fn simulate(requests: usize, one_in: u64, window: usize, seed: u64) -> (usize, u64) {
    let model: &'static [u8] = small_image_model().leak();
    let noisy = Arc::new(AtomicBool::new(true));
    let world = World::new(model, one_in, window, (seed, &noisy));
    let line = Simulated(Arc::new(Mutex::new(world)));
    let host = line.clone();
    let open = Box::new(move || Device::over(host.clone()));
    let patience = [30, 60].map(Duration::from_secs);
    let mut session = Session::new(model, &noisy, patience, open);
    let (requests, resets) = ask(&mut session, requests, seed);
    let world = line.0.lock().unwrap();
    let damaged = world.up.damaged + world.down.damaged;
    println!(
        "one frame in {one_in} damaged, {window} on the way at once, {:.0} simulated seconds",
        (world.now - world.start).as_secs_f64()
    );
    assert!(world.restarts <= resets, "a restart that nobody asked for");
    (requests, damaged)
}

#[test]
fn every_answer_on_a_noisy_line_is_that_of_its_request() {
    let started = Instant::now();
    let wanted = std::env::var(DAMAGED).map_or(0, |text| text.parse().unwrap());
    let (mut requests, mut damaged) = (0, 0);
    for round in 0.. {
        for (number, one_in, window, seed) in [
            (REQUESTS / 2, 20, 8, 1),
            (REQUESTS / 4, 6, 1, 2),
            (REQUESTS / 8, 3, 4, 3),
            // Nearly every frame: there are requests without an answer, too.
            (REQUESTS / 8, 1, 2, 4),
        ] {
            let (asked, hit) = simulate(number, one_in, window, seed + 4 * round);
            requests += asked;
            damaged += hit;
        }
        if damaged >= wanted {
            break;
        }
    }
    println!(
        "noise: {requests} requests, {damaged} damaged frames, 0 wrong answers, in {:.1} s",
        started.elapsed().as_secs_f64()
    );
    assert!(requests >= REQUESTS && damaged > 10_000);
}

/// The same with the blocking server, threads and real time.
#[test]
fn threads_on_a_noisy_line_get_their_own_answers() {
    let model = small_image_model();
    let noisy = Arc::new(AtomicBool::new(true));
    let lines = Lines {
        to_device: Arc::default(),
        to_host: Arc::default(),
        noisy: Arc::clone(&noisy),
        window: 8,
        seed: 5,
        one_in: 10,
    };
    let server = {
        let (model, lines) = (model.clone(), lines.clone());
        thread::spawn(move || serve(&model, &lines, 6))
    };
    let mut host = lines.clone();
    let open = Box::new(move || {
        host.seed += 1;
        Device::new(host.clone()).unwrap()
    });
    let patience = [Duration::from_millis(400), Duration::from_secs(30)];
    let mut session = Session::new(&model, &noisy, patience, open);
    let (_, resets) = ask(&mut session, 1000, 7);
    drop(session);
    lines.to_device.closed.store(true, Ordering::SeqCst);
    lines.to_device.changed.notify_all();
    let restarts = server.join().unwrap();
    assert!(restarts <= resets, "a restart that nobody asked for");
}
