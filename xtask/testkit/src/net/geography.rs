//! How long messages travel round the world.

use std::time::Duration;

/// The cities of [`Geography::world`].
const CITIES: [&str; 12] = [
    "London",
    "Frankfurt",
    "New York",
    "Chicago",
    "San Francisco",
    "São Paulo",
    "Johannesburg",
    "Dubai",
    "Mumbai",
    "Singapore",
    "Tokyo",
    "Sydney",
];

/// The great-circle distance in kilometres of each city to those before it.
///
/// From their coordinates by the haversine formula on a sphere of 6,371 km; a test computes them again. They stand here
/// as numbers because sines need not be the same to the last bit on every machine.
const KILOMETRES: [&[u64]; 12] = [
    &[],
    &[638],
    &[5_570, 6_203],
    &[6_353, 6_964, 1_144],
    &[8_617, 9_134, 4_129, 2_985],
    &[9_497, 9_829, 7_686, 8_408, 10_434],
    &[9_070, 8_698, 12_840, 13_983, 16_965, 7_429],
    &[5_474, 4_836, 11_009, 11_638, 13_009, 12_226, 6_419],
    &[7_192, 6_564, 12_538, 12_946, 13_494, 13_774, 6_983, 1_935],
    &[
        10_848, 10_258, 15_333, 15_072, 13_582, 15_987, 8_659, 5_837, 3_904,
    ],
    &[
        9_559, 9_333, 10_850, 10_139, 8_272, 18_535, 13_539, 7_934, 6_723, 5_314,
    ],
    &[
        16_994, 16_483, 15_988, 14_876, 11_947, 13_357, 11_041, 12_049, 10_157, 6_306, 7_826,
    ],
];

/// Light in fibre takes 5 µs for a kilometre, and cables are taken to be half as long again as the great circle.
const NANOS_PER_KILOMETRE: u64 = 7_500;
/// What leaving and entering a city takes.
const LOCAL: Duration = Duration::from_micros(500);

/// Regions, and the delay of one direction between any two of them.
///
/// A [`Net`](crate::Net) puts its nodes into the regions in turn, unless a test says where they are.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Geography {
    names: Vec<String>,
    /// From each region to each, row by row.
    delays: Vec<Duration>,
    jitter: Duration,
}

impl Geography {
    /// Twelve cities on six continents.
    ///
    /// The delay between two is 0.5 ms and 7.5 µs for each kilometre of the great circle: 0.5 ms within one, 42 ms from
    /// London to New York, 139 ms at most, from São Paulo to Tokyo. To it comes a jitter of 0 to 2 ms, each as likely.
    #[must_use]
    pub fn world() -> Self {
        let delay = |from: usize, to: usize| {
            let (low, high) = (from.min(to), from.max(to));
            let row = KILOMETRES.get(high).copied().unwrap_or_default();
            let kilometres = row.get(low).copied().unwrap_or(0);
            LOCAL.saturating_add(Duration::from_nanos(
                kilometres.saturating_mul(NANOS_PER_KILOMETRE),
            ))
        };
        Self::new(&CITIES, delay, Duration::from_millis(2))
    }

    /// Regions with these names, the delay from one to another by their numbers from 0, and a jitter that is added to
    /// it, each value up to `jitter` as likely.
    #[must_use]
    pub fn new(names: &[&str], delay: impl Fn(usize, usize) -> Duration, jitter: Duration) -> Self {
        let delay = &delay;
        let regions = 0..names.len();
        Self {
            names: names.iter().map(|name| (*name).to_owned()).collect(),
            delays: regions
                .clone()
                .flat_map(|from| regions.clone().map(move |to| delay(from, to)))
                .collect(),
            jitter,
        }
    }

    /// The number of regions.
    #[must_use]
    pub fn regions(&self) -> usize {
        self.names.len()
    }

    /// The name of a region.
    #[must_use]
    pub fn name(&self, region: usize) -> Option<&str> {
        self.names.get(region).map(String::as_str)
    }

    /// The shortest time from one region to another; zero if there is no such region.
    #[must_use]
    pub fn delay(&self, from: usize, to: usize) -> Duration {
        let row = from.saturating_mul(self.regions());
        let delay = self.delays.get(row.saturating_add(to));
        delay
            .filter(|_| to < self.regions())
            .copied()
            .unwrap_or_default()
    }

    /// How much longer it takes at most.
    #[must_use]
    pub const fn jitter(&self) -> Duration {
        self.jitter
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Latitude and longitude in degrees, north and east.
    const COORDINATES: [(f64, f64); 12] = [
        (51.51, -0.13),
        (50.11, 8.68),
        (40.71, -74.01),
        (41.88, -87.63),
        (37.77, -122.42),
        (-23.55, -46.63),
        (-26.20, 28.05),
        (25.20, 55.27),
        (19.08, 72.88),
        (1.35, 103.82),
        (35.68, 139.69),
        (-33.87, 151.21),
    ];

    fn haversine(from: (f64, f64), to: (f64, f64)) -> f64 {
        let half = |a: f64, b: f64| ((b - a).to_radians() / 2.0).sin().powi(2);
        let flat = from.0.to_radians().cos() * to.0.to_radians().cos();
        let share = half(from.0, to.0) + flat * half(from.1, to.1);
        2.0 * 6_371.0 * share.sqrt().asin()
    }

    #[test]
    fn the_distances_are_those_of_the_great_circles() {
        for (high, row) in KILOMETRES.iter().enumerate() {
            assert_eq!(row.len(), high);
            for (low, kilometres) in row.iter().enumerate() {
                let computed = haversine(COORDINATES[low], COORDINATES[high]);
                let stated = *kilometres as f64;
                assert!((computed - stated).abs() < 1.0, "{}", CITIES[high]);
            }
        }
    }

    #[test]
    fn delays_are_the_same_there_and_back() {
        let world = Geography::world();
        let mut longest = Duration::ZERO;
        for from in 0..world.regions() {
            assert_eq!(world.delay(from, from), LOCAL);
            for to in 0..world.regions() {
                assert_eq!(world.delay(from, to), world.delay(to, from));
                longest = longest.max(world.delay(from, to));
            }
        }
        assert_eq!(longest, Duration::from_nanos(139_512_500));
        assert_eq!(world.delay(0, 2), Duration::from_nanos(42_275_000));
        assert_eq!(world.name(2), Some("New York"));
        assert_eq!(world.delay(0, 99), Duration::ZERO);
    }
}
