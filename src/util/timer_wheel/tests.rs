//! The timer wheel: named cases first, then random ones against a sorted map.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::*;

const TICK: Duration = Duration::from_nanos(1 << TICK_BITS);

fn expire<T>(wheel: &mut TimerWheel<T>, now: Instant) -> Vec<T> {
    let mut out = Vec::new();
    wheel.expire(now, &mut out);
    out
}

/// Follows `next_deadline` as a shard's loop does until nothing is left to fire. Gives each value
/// with the moment it fired.
fn run_to_the_end<T>(wheel: &mut TimerWheel<T>) -> Vec<(Instant, T)> {
    let (mut fired, mut last) = (Vec::new(), wheel.origin);
    while let Some(now) = wheel.next_deadline() {
        assert!(now >= last, "time goes forward");
        last = now;
        let values = expire(wheel, now);
        assert!(wheel.next_deadline() > Some(now) || wheel.next_deadline().is_none());
        fired.extend(values.into_iter().map(|value| (now, value)));
    }
    fired
}

struct XorShift(u64);

impl XorShift {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    /// A length of time of any order of magnitude from nanoseconds to centuries.
    fn duration(&mut self, bits_max: u64) -> Duration {
        let bits = self.below(bits_max + 1) as u32;
        let mask = 1_u64.checked_shl(bits).map_or(u64::MAX, |power| power - 1);
        Duration::from_nanos(self.next() & mask)
    }
}

#[test]
fn timer_never_fires_early_and_at_most_one_tick_late() {
    let origin = Instant::now();
    for nanoseconds in [0, 1, 65_535, 65_536, 65_537, 1_000_000, 999_999_999, 86_400_000_000_000] {
        let mut wheel = TimerWheel::new(origin);
        let deadline = origin + Duration::from_nanos(nanoseconds);
        wheel.insert(deadline, ());
        if let Some(just_before) = deadline.checked_sub(Duration::from_nanos(1))
            && nanoseconds > 0
        {
            assert_eq!(expire(&mut wheel, just_before), []);
        }
        let fired = run_to_the_end(&mut wheel);
        assert_eq!(fired.len(), 1);
        assert!(fired[0].0 >= deadline && fired[0].0 < deadline + TICK);
    }
}

#[test]
fn next_deadline_leads_to_a_far_timer_in_at_most_one_step_per_level() {
    let origin = Instant::now();
    let mut wheel = TimerWheel::new(origin);
    let deadline = origin + Duration::from_nanos(0x7fff_ffff_ffff_ffff);
    wheel.insert(deadline, ());
    let mut steps = 0;
    while let Some(now) = wheel.next_deadline() {
        assert!(now < deadline + TICK, "never later than the tick in which the timer fires");
        steps += 1;
        if !expire(&mut wheel, now).is_empty() {
            assert!(now >= deadline);
        }
    }
    assert!(steps <= LEVELS, "{steps} steps");
    assert_eq!(wheel.len(), 0);
}

#[test]
fn timers_fire_in_the_order_of_their_deadlines() {
    let origin = Instant::now();
    let mut wheel = TimerWheel::new(origin);
    for milliseconds in [5_000_u64, 3, 70, 1, 900, 70_000, 4, 2] {
        wheel.insert(origin + Duration::from_millis(milliseconds), milliseconds);
    }
    let fired = expire(&mut wheel, origin + Duration::from_secs(100));
    assert_eq!(fired, [1, 2, 3, 4, 70, 900, 5_000, 70_000]);
}

#[test]
fn timers_of_one_tick_fire_in_the_order_of_insertion() {
    let origin = Instant::now();
    let mut wheel = TimerWheel::new(origin);
    let deadline = origin + Duration::from_secs(10);
    wheel.insert(deadline, 0);
    wheel.insert(deadline, 1);
    // In between the first two have cascaded; the third comes straight to the lower level.
    assert_eq!(expire(&mut wheel, deadline - Duration::from_millis(2)), []);
    wheel.insert(deadline, 2);
    assert_eq!(expire(&mut wheel, deadline + TICK), [0, 1, 2]);
}

#[test]
fn deadline_in_the_past_fires_with_the_next_expire() {
    let origin = Instant::now();
    let mut wheel = TimerWheel::new(origin);
    let now = origin + Duration::from_secs(5);
    assert!(expire(&mut wheel, now).is_empty());
    wheel.insert(origin, "past");
    wheel.insert(origin.checked_sub(Duration::from_nanos(1)).unwrap_or(origin), "before");
    assert!(wheel.next_deadline() <= Some(now));
    assert_eq!(expire(&mut wheel, now), ["past", "before"]);
}

#[test]
fn deadline_beyond_the_reach_never_fires_and_can_be_removed() {
    let origin = Instant::now();
    let mut wheel = TimerWheel::new(origin);
    // Farther than 2^64 ns, and as far as an `Instant` goes at all.
    let far = origin + Duration::from_secs(u64::MAX / 1_000_000_000 + 1);
    let mut farthest = origin;
    for bit in (0..63).rev() {
        farthest = farthest.checked_add(Duration::from_secs(1 << bit)).unwrap_or(farthest);
    }
    let keys = [wheel.insert(far, 1), wheel.insert(farthest, 2)];
    assert_eq!(wheel.next_deadline(), None);
    let reachable = wheel.insert(origin + Duration::from_nanos(REACH_NANOSECONDS), 3);
    assert_eq!(wheel.len(), 3);
    assert_eq!(wheel.remove(reachable), Some(3));
    assert_eq!(expire(&mut wheel, farthest), []);
    assert_eq!(wheel.next_deadline(), None);
    assert_eq!(wheel.get_mut(keys[0]), Some(&mut 1));
    assert_eq!(keys.map(|key| wheel.remove(key)), [Some(1), Some(2)]);
    assert_eq!(wheel.len(), 0);
}

#[test]
fn last_tick_of_the_reach_fires() {
    let origin = Instant::now();
    let mut wheel = TimerWheel::new(origin);
    let deadline = origin + Duration::from_nanos(REACH_NANOSECONDS);
    wheel.insert(deadline, ());
    assert_eq!(expire(&mut wheel, deadline - Duration::from_nanos(1)), []);
    assert_eq!(expire(&mut wheel, deadline), [()]);
    // The clock at the end of the reach does not break what follows.
    wheel.insert(deadline, ());
    assert_eq!(expire(&mut wheel, deadline + Duration::from_secs(1 << 40)), [()]);
}

#[test]
fn timer_is_removed_while_waiting_in_every_level() {
    let origin = Instant::now();
    for level in 0..LEVELS as u32 {
        let mut wheel = TimerWheel::new(origin);
        let deadline = origin + TICK * 3 + Duration::from_nanos(1 << (TICK_BITS + 6 * level));
        let keys = [0, 1, 2].map(|value| wheel.insert(deadline, value));
        assert_ne!(wheel.occupied[level as usize], 0);
        assert_eq!(wheel.remove(keys[1]), Some(1));
        assert_eq!(wheel.remove(keys[1]), None);
        assert!(wheel.next_deadline().is_some());
        assert_eq!(wheel.remove(keys[0]), Some(0));
        assert_eq!(wheel.remove(keys[2]), Some(2));
        assert_eq!(wheel.next_deadline(), None);
        wheel.give_up_kept();
        assert_eq!(wheel.occupied, [0; LEVELS]);
        assert_eq!(wheel.timers.len(), 0);
    }
}

/// The slot that a timer is in.
fn slot<T>(wheel: &TimerWheel<T>, TimerKey(key): TimerKey) -> Option<usize> {
    Some(wheel.timers.get(key)?.slot?.position())
}

#[test]
fn deadline_that_is_only_pushed_out_stays_in_its_slot() {
    let origin = Instant::now();
    let mut wheel = TimerWheel::new(origin);
    let limit = Duration::from_secs(30);
    let mut key = wheel.insert(origin + limit, 0);
    let first = slot(&wheel, key);
    for pushed in 1..1_000_u32 {
        let now = origin + pushed * Duration::from_millis(10);
        assert_eq!(wheel.remove(key), Some(pushed - 1));
        let stale = std::mem::replace(&mut key, wheel.insert(now + limit, pushed));
        assert_eq!(wheel.get_mut(stale), None);
        assert_eq!(slot(&wheel, key), first);
        assert_eq!((wheel.len(), wheel.timers.len()), (1, 1));
    }
    let deadline = origin + Duration::from_millis(9_990) + limit;
    assert_eq!(expire(&mut wheel, deadline - Duration::from_nanos(1)), []);
    assert_ne!(slot(&wheel, key), first);
    assert_eq!(expire(&mut wheel, deadline + TICK), [999]);
}

#[test]
fn earlier_deadline_takes_over_no_place_that_comes_due_too_late() {
    let origin = Instant::now();
    let mut wheel = TimerWheel::new(origin);
    for seconds in [3600, 60, 3000, 1, 61, 2] {
        let key = wheel.insert(origin + Duration::from_secs(seconds), seconds);
        assert_eq!(wheel.remove(key), Some(seconds));
        assert_eq!(wheel.timers.len(), 1);
        let deadline = origin + Duration::from_secs(1);
        let key = wheel.insert(deadline, seconds);
        assert!(wheel.next_deadline() <= Some(deadline));
        assert_eq!(wheel.remove(key), Some(seconds));
    }
    // Of deadlines that take turns, the later one may stay where the earlier one was.
    let place = wheel.insert(origin + Duration::from_secs(30), 30);
    let first = slot(&wheel, place);
    assert_eq!(wheel.remove(place), Some(30));
    let later = wheel.insert(origin + Duration::from_secs(60), 60);
    assert_eq!((wheel.remove(later), slot(&wheel, later)), (Some(60), None));
    let earlier = wheel.insert(origin + Duration::from_secs(31), 31);
    assert_eq!(slot(&wheel, earlier), first);
    assert_eq!(expire(&mut wheel, origin + Duration::from_secs(32)), [31]);
}

#[test]
fn kept_places_are_few_and_come_due_once_at_most() {
    let origin = Instant::now();
    let mut wheel = TimerWheel::new(origin);
    let far = origin + Duration::from_secs(3600);
    let key = wheel.insert(far, 1);
    let deadlines = (0..1_000).map(|n| origin + Duration::from_millis(300 + 100 * n));
    let keys: Vec<TimerKey> = deadlines.map(|deadline| wheel.insert(deadline, 0)).collect();
    for key in keys {
        assert_eq!(wheel.remove(key), Some(0));
    }
    assert_eq!((wheel.len(), wheel.kept.len(), wheel.timers.len()), (1, KEPT_MAX, KEPT_MAX + 1));
    assert_eq!(wheel.get_mut(key), Some(&mut 1));
    let mut alone = TimerWheel::new(origin);
    alone.insert(far, 1);
    let for_nothing = wheel.next_deadline().expect("a timer is armed");
    assert!(for_nothing < alone.next_deadline().expect("a timer is armed"));
    assert_eq!(expire(&mut wheel, for_nothing), []);
    assert_eq!((wheel.kept.len(), wheel.timers.len()), (0, 1));
    alone.expire(for_nothing, &mut Vec::new());
    assert_eq!(wheel.next_deadline(), alone.next_deadline());
    assert_eq!(run_to_the_end(&mut wheel), run_to_the_end(&mut alone));
}

#[test]
fn kept_places_bring_nothing_on_while_no_timer_is_armed() {
    let origin = Instant::now();
    let mut wheel = TimerWheel::new(origin);
    let keys = [1, 10, 100].map(|seconds| wheel.insert(origin + Duration::from_secs(seconds), ()));
    for key in keys {
        assert_eq!(wheel.remove(key), Some(()));
    }
    assert_eq!((wheel.len(), wheel.kept.len()), (0, 3));
    assert_eq!(wheel.next_deadline(), None);
}

#[test]
fn near_timers_leave_no_places() {
    let origin = Instant::now();
    let mut wheel = TimerWheel::new(origin);
    for milliseconds in [0, 1, 5, 50, 260] {
        let key = wheel.insert(origin + Duration::from_millis(milliseconds), ());
        assert_eq!(wheel.remove(key), Some(()));
        assert_eq!(wheel.timers.len(), 0);
    }
}

#[test]
fn timer_is_removed_after_it_cascaded() {
    let origin = Instant::now();
    let mut wheel = TimerWheel::new(origin);
    let deadline = origin + Duration::from_secs(3600);
    let key = wheel.insert(deadline, ());
    while wheel.occupied[0] == 0 {
        let now = wheel.next_deadline().expect("the timer is armed");
        assert_eq!(expire(&mut wheel, now), []);
        assert_eq!(wheel.get_mut(key), Some(&mut ()));
    }
    assert_eq!(wheel.remove(key), Some(()));
    assert_eq!(wheel.next_deadline(), None);
}

#[test]
fn key_of_a_fired_timer_is_stale_for_good() {
    let origin = Instant::now();
    let mut wheel = TimerWheel::new(origin);
    let fired = wheel.insert(origin, 1);
    assert_eq!(expire(&mut wheel, origin), [1]);
    let armed = wheel.insert(origin + Duration::from_secs(1), 2);
    assert_eq!(wheel.get_mut(fired), None);
    assert_eq!(wheel.remove(fired), None);
    assert_eq!(wheel.remove(armed), Some(2));
}

#[test]
fn clock_that_goes_back_fires_nothing_early() {
    let origin = Instant::now();
    let mut wheel = TimerWheel::new(origin);
    assert_eq!(expire(&mut wheel, origin + Duration::from_secs(2)), []);
    wheel.insert(origin + Duration::from_secs(3), ());
    assert_eq!(expire(&mut wheel, origin + Duration::from_secs(1)), []);
    assert_eq!(wheel.len(), 1);
    assert_eq!(expire(&mut wheel, origin + Duration::from_secs(4)), [()]);
}

#[test]
fn a_million_timers_fire_once_each_in_order() {
    let origin = Instant::now();
    let mut wheel = TimerWheel::new(origin);
    let mut random = XorShift(0x9e37_79b9_7f4a_7c15);
    for _ in 0..1_000_000 {
        let deadline = origin + random.duration(45);
        wheel.insert(deadline, deadline);
    }
    assert_eq!(wheel.len(), 1_000_000);
    let (mut now, mut fired, mut last) = (origin, 0, origin);
    while wheel.len() > 0 {
        now += Duration::from_secs(900);
        for deadline in expire(&mut wheel, now) {
            assert!(deadline <= now && deadline + TICK > last);
            last = deadline.max(last);
            fired += 1;
        }
    }
    assert_eq!(fired, 1_000_000);
}

/// The wheel against a sorted map, with deadlines and steps of every order of magnitude.
#[test]
fn wheel_agrees_with_a_sorted_map() {
    for seed in 1..=40_u64 {
        agree(seed.wrapping_mul(0x2545_f491_4f6c_dd1d), 2_000);
    }
}

fn agree(seed: u64, steps: u32) {
    let mut random = XorShift(seed);
    let origin = Instant::now();
    let mut wheel = TimerWheel::new(origin);
    // By tick, then by insertion: within a tick those that took over a place may come earlier.
    let mut model: BTreeMap<(u64, u64), (Instant, TimerKey)> = BTreeMap::new();
    let mut gone: Vec<TimerKey> = Vec::new();
    let (mut now, mut elapsed) = (origin, 0);
    for sequence in 0..u64::from(steps) {
        match random.below(10) {
            0..=4 => {
                let ahead = random.duration(if seed.is_multiple_of(2) { 30 } else { 62 });
                let past = random.below(8) == 0;
                let deadline =
                    if past { origin.max(now - ahead.min(now - origin)) } else { now + ahead };
                let tick = ((deadline - origin).as_nanos() as u64).div_ceil(1 << TICK_BITS);
                let key = wheel.insert(deadline, (tick.max(elapsed), sequence));
                model.insert((tick.max(elapsed), sequence), (deadline, key));
            }
            5 | 6 => {
                let nth = random.below(model.len().max(1) as u64) as usize;
                let Some((&place, &(_, key))) = model.iter().nth(nth) else { continue };
                assert_eq!(wheel.get_mut(key).copied(), Some(place));
                assert_eq!(wheel.remove(key), Some(place));
                model.remove(&place);
                gone.push(key);
            }
            _ => {
                let bits_max = if random.below(16) == 0 { 56 } else { 24 };
                now += random.duration(bits_max);
                elapsed = (now - origin).as_nanos() as u64 >> TICK_BITS;
                let later = model.split_off(&(elapsed + 1, 0));
                let due = std::mem::replace(&mut model, later);
                assert!(due.values().all(|&(deadline, _)| deadline <= now), "never early");
                assert_eq!(
                    in_order(expire(&mut wheel, now)),
                    due.keys().copied().collect::<Vec<_>>()
                );
                gone.extend(due.values().map(|&(_, key)| key));
                assert!(wheel.next_deadline().is_none_or(|next| next > now), "no idle spinning");
            }
        }
        assert_eq!(wheel.len(), model.len());
        assert!(
            wheel.kept.len() <= KEPT_MAX && wheel.timers.len() - wheel.kept.len() == model.len()
        );
        let earliest = model.first_key_value().map(|(&(tick, _), _)| tick);
        let earliest = earliest.map(|tick| origin + Duration::from_nanos(tick << TICK_BITS));
        assert_eq!(wheel.next_deadline().is_some(), earliest.is_some());
        assert!(wheel.next_deadline() <= earliest, "never later than the earliest timer");
    }
    assert!(
        gone.iter().all(|&key| wheel.remove(key).is_none()),
        "fired and removed keys are stale"
    );
    let order = run_to_the_end(&mut wheel).into_iter().map(|(_, value)| value).collect();
    assert_eq!(in_order(order), model.keys().copied().collect::<Vec<_>>());
}

/// What has fired, each tick sorted by insertion.
fn in_order(mut fired: Vec<(u64, u64)>) -> Vec<(u64, u64)> {
    assert!(fired.is_sorted_by_key(|&(tick, _)| tick), "an earlier tick fires first");
    fired.sort_unstable();
    fired
}
