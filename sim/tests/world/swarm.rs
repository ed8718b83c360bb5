//! Random worlds, each checked after every event.

use dormouse_sim::draw::{Distribution, Stream};
use dormouse_sim::world::{
    Api, Capacity, Fault, Function, Kill, Nodes, Rate, Readiness, Report, SECOND_NS, Setup,
    run_checked,
};

use crate::kit::*;

/// Events of one world: enough for a wake, a burst, some faults and the way back to zero.
const EVENTS_MAX: u64 = 5_000;

/// Worlds in the ordinary run; `DORMOUSE_SWARM_SEEDS` asks for more.
const SEEDS: u64 = 300;

/// A world in few numbers, each of which can be made smaller on its own.
#[derive(Clone, Debug, PartialEq)]
struct Plan {
    seed: u64,
    seconds: u64,
    activators: u32,
    delay_ms: u64,
    loss_percent: u64,
    api_ms: u64,
    calls_every_ms: u64,
    nodes: u32,
    shortcut: bool,
    functions: Vec<Shape>,
    faults: Vec<(u64, Kill, u64)>,
}

#[derive(Clone, Debug, PartialEq)]
struct Shape {
    gap_ms: u64,
    service_ms: u64,
    /// 0 = unlimited; else shared or in slots by whether it is odd.
    capacity: u32,
    limit: u32,
    queue_depth: u32,
    queue_timeout_s: u64,
    window_s: u64,
    replicas: u32,
    max_scale: u32,
    boot_ms: u64,
    stop_ms: u64,
    burst: &'static str,
    idle_cost: Option<&'static str>,
}

struct Dice {
    stream: Stream,
    drawn: u64,
}

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.drawn += 1;
        self.stream.below(self.drawn, bound)
    }

    fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[usize::try_from(self.below(of.len() as u64)).unwrap()]
    }
}

impl Plan {
    fn draw(seed: u64) -> Self {
        let mut dice = Dice { stream: Stream::new(seed, "swarm", 0), drawn: 0 };
        let seconds = dice.pick(&[20, 60, 150]);
        let functions = (0..dice.pick(&[1, 1, 2, 3])).map(|_| Shape::draw(&mut dice)).collect();
        let faults = (0..dice.below(5)).map(|_| {
            let kill = match dice.below(4) {
                0 => Kill::Leader,
                1 => Kill::Activator(u32::try_from(dice.below(3)).unwrap()),
                2 => Kill::Node(u32::try_from(dice.below(3)).unwrap()),
                _ => Kill::Pod(0),
            };
            (dice.below(seconds * 1_000), kill, dice.pick(&[100, 1_000, 7_000, 70_000]))
        });
        let mut faults: Vec<_> = faults.collect();
        faults.sort_by_key(|fault| fault.0);
        Self {
            seed,
            seconds,
            activators: dice.pick(&[1, 2, 3]),
            delay_ms: dice.pick(&[0, 0, 5, 300]),
            loss_percent: dice.pick(&[0, 0, 10, 60]),
            api_ms: dice.pick(&[0, 10, 400]),
            calls_every_ms: dice.pick(&[0, 50, 5_000]),
            nodes: dice.pick(&[0, 0, 1, 3]),
            shortcut: dice.below(3) > 0,
            functions,
            faults,
        }
    }

    fn setup(&self) -> Setup {
        let functions =
            self.functions.iter().enumerate().map(|(number, shape)| shape.function(number));
        let mut setup = setup(functions.collect(), self.seconds);
        setup.events_max = EVENTS_MAX;
        let world = &mut setup.world;
        world.activators = count(self.activators);
        world.report = Report {
            every_ns: SECOND_NS,
            delay_ns: self.delay_ms * 1_000_000,
            loss: f64::from(u32::try_from(self.loss_percent).unwrap()) / 100.0,
        };
        world.api = Api {
            latency_ns: self.api_ms * 1_000_000,
            rate: (self.calls_every_ms > 0)
                .then_some(Rate { every_ns: self.calls_every_ms * 1_000_000, burst: 2 }),
        };
        world.readiness =
            Readiness { shortcut_ns: self.shortcut.then_some(10_000_000), probe_ns: SECOND_NS };
        world.nodes = (self.nodes > 0).then(|| Nodes {
            count: count(self.nodes),
            pods: count(3),
            schedule_ns: 80_000_000,
        });
        world.faults = self
            .faults
            .iter()
            .map(|(at_ms, kill, for_ms)| Fault {
                at_ns: at_ms * 1_000_000,
                kill: kill.clone(),
                for_ns: for_ms * 1_000_000,
            })
            .collect();
        setup
    }

    fn breaks(&self) -> Option<String> {
        run_checked(&self.setup(), self.seed).err().map(|error| error.to_string())
    }

    /// Plans that are smaller by one thing.
    fn smaller(&self) -> Vec<Self> {
        let mut smaller = Vec::new();
        let mut with = |change: &dyn Fn(&mut Self)| {
            let mut plan = self.clone();
            change(&mut plan);
            if plan != *self {
                smaller.push(plan);
            }
        };
        for at in 0..self.faults.len() {
            with(&|plan| {
                plan.faults.remove(at);
            });
        }
        for at in 0..self.functions.len() {
            if self.functions.len() > 1 {
                with(&|plan| {
                    plan.functions.remove(at);
                });
            }
            with(&|plan| plan.functions[at].gap_ms *= 2);
            with(&|plan| plan.functions[at].replicas = 0);
            with(&|plan| plan.functions[at].limit = 0);
            with(&|plan| plan.functions[at].capacity = 0);
            with(&|plan| plan.functions[at].burst = "kpa");
        }
        with(&|plan| plan.seconds = plan.seconds * 2 / 3);
        with(&|plan| plan.activators = 1);
        with(&|plan| plan.delay_ms = 0);
        with(&|plan| plan.loss_percent = 0);
        with(&|plan| plan.api_ms = 0);
        with(&|plan| plan.calls_every_ms = 0);
        with(&|plan| plan.nodes = 0);
        smaller
    }

    /// The smallest plan found that breaks as well, in at most so many tries.
    fn shrink(mut self) -> Self {
        let mut tries = 500;
        while let Some(smaller) = self
            .smaller()
            .into_iter()
            .take_while(|_| {
                tries -= 1;
                tries > 0
            })
            .find(|it| it.breaks().is_some())
        {
            self = smaller;
        }
        self
    }
}

impl Shape {
    fn draw(dice: &mut Dice) -> Self {
        Self {
            gap_ms: dice.pick(&[20, 100, 1_000, 9_000, 40_000]),
            service_ms: dice.pick(&[1, 50, 700, 8_000]),
            capacity: dice.pick(&[0, 1, 2, 3, 10]),
            limit: dice.pick(&[0, 0, 1, 2, 10]),
            queue_depth: dice.pick(&[1, 3, 50, 1_000]),
            queue_timeout_s: dice.pick(&[1, 5, 55]),
            window_s: dice.pick(&[6, 10, 60]),
            replicas: dice.pick(&[0, 0, 1, 3]),
            max_scale: dice.pick(&[0, 0, 1, 4]),
            boot_ms: dice.pick(&[0, 200, 2_000, 9_000]),
            stop_ms: dice.pick(&[0, 500, 40_000]),
            burst: dice.pick(&["kpa", "kpa", "queue", "start-up"]),
            idle_cost: dice.pick(&[None, None, Some("5"), Some("300")]),
        }
    }

    fn function(&self, number: usize) -> Function {
        let [limit, depth, max, concurrency] =
            [self.limit, self.queue_depth, self.max_scale, self.limit.max(1)]
                .map(|number| number.to_string());
        let [timeout, window] =
            [self.queue_timeout_s, self.window_s].map(|seconds| format!("{seconds}s"));
        let mut annotations = vec![
            ("autoscaling.knative.dev/window", window.as_str()),
            ("autoscaling.knative.dev/max-scale", &max),
            ("autoscaling.knative.dev/target", &concurrency),
            ("dormouse.dev/container-concurrency", &limit),
            ("dormouse.dev/queue-depth", &depth),
            ("dormouse.dev/queue-timeout", &timeout),
            ("dormouse.dev/burst", self.burst),
        ];
        annotations.extend(self.idle_cost.map(|cost| ("dormouse.dev/idle-cost", cost)));
        let load = Poisson { mean_ns: self.gap_ms * 1_000_000 };
        let mut function = function(&format!("f{number}"), &annotations, load);
        function.replicas = match self.max_scale {
            0 => self.replicas,
            max => self.replicas.min(max),
        };
        function.service = Distribution::Exponential { mean_ns: self.service_ms * 1_000_000 };
        function.capacity = match self.capacity {
            0 => Capacity::Unlimited,
            k if k % 2 == 1 => Capacity::Share(count(k)),
            slots => Capacity::Slots(count(slots)),
        };
        function.start_up.image = Distribution::Constant(0);
        function.start_up.boot = Distribution::Constant(self.boot_ms * 1_000_000);
        function.start_up.stop = Distribution::Constant(self.stop_ms * 1_000_000);
        function
    }
}

#[test]
fn random_worlds_keep_every_rule() {
    let seeds = std::env::var("DORMOUSE_SWARM_SEEDS").ok();
    let seeds = seeds.and_then(|seeds| seeds.parse().ok()).unwrap_or(SEEDS);
    for seed in 0..seeds {
        let plan = Plan::draw(seed);
        if plan.breaks().is_some() {
            let plan = plan.shrink();
            let what = plan.breaks().unwrap_or_default();
            panic!("{what}\n{plan:#?}");
        }
    }
}
