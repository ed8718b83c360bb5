//! Worlds by a seed, as the scenarios that they are, and how to make one smaller.

use dormouse_sim::draw::Stream;
use dormouse_sim::world::Kill;

/// The rarest load, in milliseconds from request to request.
const GAP_MS_MAX: u64 = 3_600_000;

/// A world in few numbers, each of which can be made smaller on its own.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    seconds: u64,
    pub(crate) activators: u32,
    delay_ms: u64,
    loss_percent: u64,
    api_ms: u64,
    calls_every_ms: u64,
    nodes: u32,
    shortcut: bool,
    pub(crate) functions: Vec<Shape>,
    /// When, what, and for how long in milliseconds; numbers count around, so that a smaller world
    /// has them too.
    pub(crate) faults: Vec<(u64, Kill, u64)>,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Shape {
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
    pub(crate) fn draw(seed: u64) -> Self {
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
        let breaks_nodes = faults.iter().any(|(_, kill, _)| matches!(kill, Kill::Node(_)));
        Self {
            seed,
            seconds,
            activators: dice.pick(&[1, 2, 3]),
            delay_ms: dice.pick(&[0, 0, 5, 300]),
            loss_percent: dice.pick(&[0, 0, 10, 60]),
            api_ms: dice.pick(&[0, 10, 400]),
            calls_every_ms: dice.pick(&[0, 50, 5_000]),
            nodes: dice.pick(&[0, 0, 1, 3]).max(u32::from(breaks_nodes)),
            shortcut: dice.below(3) > 0,
            functions,
            faults,
        }
    }

    /// The same functions where nothing is late, lost, scarce or broken.
    pub(crate) fn ideal(mut self) -> Self {
        (self.activators, self.nodes, self.faults) = (1, 0, Vec::new());
        (self.delay_ms, self.loss_percent, self.api_ms, self.calls_every_ms) = (0, 0, 0, 0);
        self.functions.iter_mut().for_each(|shape| shape.burst = "kpa");
        self
    }

    /// The scenario that it is.
    pub(crate) fn scenario(&self) -> String {
        let Self { seconds, activators, delay_ms, loss_percent, api_ms, .. } = *self;
        let loss = f64::from(u32::try_from(loss_percent).unwrap()) / 100.0;
        let rate = match self.calls_every_ms {
            0 => String::new(),
            every_ms => format!(", rate = \"{}\", burst = 2", rate(every_ms)),
        };
        let shortcut = if self.shortcut { "10ms" } else { "0s" };
        let nodes = match self.nodes {
            0 => String::new(),
            count => format!("nodes = {{ count = {count}, pods = 3, schedule = \"80ms\" }}\n"),
        };
        let functions = self.functions.iter().enumerate();
        let functions: String = functions.map(|(number, shape)| shape.scenario(number)).collect();
        let faults: String = self.faults.iter().map(|it| self.fault(it)).collect();
        format!(
            "schema = 1\nlength = \"{seconds}s\"\n\
             [world]\nactivators = {activators}\n\
             report = {{ every = \"1s\", delay = \"{delay_ms}ms\", loss = {loss} }}\n\
             api = {{ latency = \"{api_ms}ms\"{rate} }}\n\
             readiness = {{ probe = \"1s\", shortcut = \"{shortcut}\" }}\n\
             {nodes}fault = [\n{faults}]\n{functions}"
        )
    }

    fn fault(&self, (at_ms, kill, for_ms): &(u64, Kill, u64)) -> String {
        let what = match kill {
            Kill::Activator(number) => {
                let number = number % self.activators;
                format!("kill = \"activator\", number = {number}, for = \"{for_ms}ms\"")
            }
            Kill::Leader => format!("kill = \"leader\", for = \"{for_ms}ms\""),
            Kill::Pod(function) => format!("kill = \"pod\", function = \"f{function}\""),
            Kill::Node(number) => {
                let number = number % self.nodes;
                format!("kill = \"node\", number = {number}, for = \"{for_ms}ms\"")
            }
        };
        format!("    {{ at = \"{at_ms}ms\", {what} }},\n")
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
            with(&|plan| {
                let shape = &mut plan.functions[at];
                shape.gap_ms = (shape.gap_ms * 2).min(GAP_MS_MAX);
            });
            with(&|plan| plan.functions[at].replicas = 0);
            with(&|plan| plan.functions[at].limit = 0);
            with(&|plan| plan.functions[at].capacity = 0);
            with(&|plan| plan.functions[at].burst = "kpa");
            with(&|plan| plan.functions[at].idle_cost = None);
        }
        with(&|plan| {
            plan.seconds = (plan.seconds * 2 / 3).max(1);
            let end_ms = plan.seconds * 1_000;
            plan.faults.retain(|(at_ms, ..)| *at_ms < end_ms);
        });
        with(&|plan| plan.activators = 1);
        with(&|plan| plan.delay_ms = 0);
        with(&|plan| plan.loss_percent = 0);
        with(&|plan| plan.api_ms = 0);
        with(&|plan| plan.calls_every_ms = 0);
        if !self.faults.iter().any(|(_, kill, _)| matches!(kill, Kill::Node(_))) {
            with(&|plan| plan.nodes = 0);
        }
        smaller
    }

    /// The smallest plan found that breaks as well, in at most so many tries.
    pub(crate) fn shrink(mut self, breaks: impl Fn(&Self) -> bool) -> Self {
        let mut tries = 500;
        while let Some(smaller) = self
            .smaller()
            .into_iter()
            .take_while(|_| {
                tries -= 1;
                tries > 0
            })
            .find(&breaks)
        {
            self = smaller;
        }
        self
    }
}

fn rate(every_ms: u64) -> String {
    format!("{}/h", 3_600_000 / every_ms)
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

    fn scenario(&self, number: usize) -> String {
        let Self { limit, queue_depth, queue_timeout_s, window_s, max_scale, burst, .. } = *self;
        let Self { gap_ms, service_ms, boot_ms, stop_ms, .. } = *self;
        let target = limit.max(1);
        let replicas = match max_scale {
            0 => self.replicas,
            max => self.replicas.min(max),
        };
        let capacity = match self.capacity {
            0 => "\"unlimited\"".to_owned(),
            k if k % 2 == 1 => format!("{{ share = {k} }}"),
            slots => format!("{{ slots = {slots} }}"),
        };
        let rate = rate(gap_ms);
        let idle_cost = |cost| format!("\"dormouse.dev/idle-cost\" = \"{cost}\"\n");
        let idle_cost = self.idle_cost.map(idle_cost).unwrap_or_default();
        format!(
            "[function.f{number}]\n\
             load = {{ poisson = \"{rate}\" }}\n\
             service = {{ exponential = \"{service_ms}ms\" }}\n\
             capacity = {capacity}\n\
             start_up = {{ boot = \"{boot_ms}ms\", stop = \"{stop_ms}ms\" }}\n\
             replicas = {replicas}\n\
             [policy.swarm.set.f{number}]\n\
             \"autoscaling.knative.dev/window\" = \"{window_s}s\"\n\
             \"autoscaling.knative.dev/max-scale\" = {max_scale}\n\
             \"autoscaling.knative.dev/target\" = {target}\n\
             \"dormouse.dev/container-concurrency\" = {limit}\n\
             \"dormouse.dev/queue-depth\" = {queue_depth}\n\
             \"dormouse.dev/queue-timeout\" = \"{queue_timeout_s}s\"\n\
             \"dormouse.dev/burst\" = \"{burst}\"\n{idle_cost}"
        )
    }
}
