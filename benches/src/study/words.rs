//! How a study's numbers are said: metrics, ratios and units as words.
//!
//! The direction of a metric is decided here and nowhere else, so that no sentence can call a
//! server better where the ratio says worse.

use super::schema::Metric;
use crate::stats::Estimate;

/// How a metric is called in a table.
pub fn name(metric: Metric) -> &'static str {
    match metric {
        Metric::CpuNsPerUnit => "CPU time",
        Metric::UnitsPerSecond => "throughput",
        Metric::P99Ns => "p99 latency",
        Metric::SystemCallsPerUnit => "system calls",
        Metric::ResidentBytesPerConnection => "memory",
    }
}

/// How many times better the first server is: above 1 when the ratio is to its credit.
pub fn advantage(metric: Metric, ratio: f64) -> f64 {
    if metric.more_is_better() { ratio } else { 1.0 / ratio }
}

/// What the first server of a ratio has: `18% less CPU time per request`. Without a `unit`, several
/// kinds of work are meant.
pub fn difference(metric: Metric, ratio: f64, unit: Option<&str>) -> String {
    let per_unit = unit.unwrap_or("unit of work");
    let (less, more, what) = match metric {
        Metric::CpuNsPerUnit => ("less", "more", format!("CPU time per {per_unit}")),
        Metric::UnitsPerSecond => match unit {
            Some(unit) => ("fewer", "more", format!("{unit}s per second")),
            None => ("less", "more", "work per second".to_owned()),
        },
        Metric::P99Ns => ("lower", "higher", "p99 latency".to_owned()),
        Metric::SystemCallsPerUnit => ("fewer", "more", format!("system calls per {per_unit}")),
        Metric::ResidentBytesPerConnection => ("less", "more", "memory per connection".to_owned()),
    };
    if ratio >= 2.0 {
        return format!("{} times the {what}", times(ratio));
    }
    let direction = if ratio < 1.0 { less } else { more };
    format!("{} {direction} {what}", percent(ratio - 1.0))
}

/// The change alone: `18% less`, `2.4 times`.
pub fn change(ratio: f64) -> String {
    match ratio {
        2.0.. => format!("{} times", times(ratio)),
        1.0..2.0 => format!("{} more", percent(ratio - 1.0)),
        _ => format!("{} less", percent(ratio - 1.0)),
    }
}

/// A share of 1 as a positive percentage, as exact as it is of use.
pub fn percent(share: f64) -> String {
    let percent = share.abs() * 100.0;
    let digits = usize::from(percent < 9.95 || (99.0..100.0).contains(&percent));
    format!("{percent:.digits$}%")
}

/// A share of 1 as a whole percentage, for what was chosen and not measured.
pub fn percent_rounded(share: f64) -> String {
    format!("{:.0}%", share * 100.0)
}

fn times(ratio: f64) -> String {
    if ratio < 9.95 { format!("{ratio:.1}") } else { grouped(ratio) }
}

/// A ratio with its interval.
pub fn interval(ratio: &Estimate) -> String {
    let digits = if ratio.low >= 10.0 { 1 } else { 3 };
    format!("{:.digits$} [{}]", ratio.median, ends(ratio))
}

/// The ends of an interval, if there is one: of a single value there is none.
pub fn ends(ratio: &Estimate) -> String {
    let Estimate { low, high, .. } = ratio;
    let digits = if *low >= 10.0 { 1 } else { 3 };
    if low == high { "one value".to_owned() } else { format!("{low:.digits$} to {high:.digits$}") }
}

/// A value of a metric with its unit.
pub fn value(metric: Metric, value: f64) -> String {
    match metric {
        Metric::CpuNsPerUnit | Metric::P99Ns => duration(value),
        Metric::UnitsPerSecond => format!("{}/s", grouped(value)),
        Metric::SystemCallsPerUnit => count(value),
        Metric::ResidentBytesPerConnection => bytes(value),
    }
}

/// Nanoseconds in the unit that leaves at most three digits before the point.
pub fn duration(nanoseconds: f64) -> String {
    let (value, unit) = match nanoseconds {
        1e9.. => (nanoseconds / 1e9, "s"),
        1e6.. => (nanoseconds / 1e6, "ms"),
        1e3.. => (nanoseconds / 1e3, "µs"),
        _ => (nanoseconds, "ns"),
    };
    format!("{}\u{a0}{unit}", short(value))
}

/// Bytes in the unit that leaves at most four digits before the point.
pub fn bytes(bytes: f64) -> String {
    const KIB: f64 = 1024.0;
    let (value, unit) = if bytes >= KIB * KIB * KIB {
        (bytes / (KIB * KIB * KIB), "GiB")
    } else if bytes >= KIB * KIB {
        (bytes / (KIB * KIB), "MiB")
    } else if bytes >= KIB {
        (bytes / KIB, "KiB")
    } else {
        (bytes, "B")
    };
    format!("{}\u{a0}{unit}", short(value))
}

/// How many, of something that may be a fraction.
pub fn count(value: f64) -> String {
    if value != 0.0 && value.abs() < 0.1 { format!("{value:.4}") } else { short(value) }
}

fn short(value: f64) -> String {
    let is_whole = (value - value.round()).abs() < 1e-9;
    match value.abs() {
        999.5.. => grouped(value),
        99.95.. => format!("{value:.0}"),
        _ if is_whole => format!("{value:.0}"),
        9.995.. => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

/// A whole number with a comma between its thousands.
pub fn grouped(value: f64) -> String {
    let digits = format!("{:.0}", value.abs());
    let mut text = if value < 0.0 { "-".to_owned() } else { String::new() };
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `1 run`, `2 runs`.
pub fn number_of(count: usize, what: &str) -> String {
    format!("{} {what}{}", grouped(count as f64), if count == 1 { "" } else { "s" })
}

/// `a`, `a and b`, `a, b and c`.
pub fn list(items: &[String]) -> String {
    match items {
        [] => String::new(),
        [only] => only.clone(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

/// The same with a capital letter at its head.
pub fn capitalised(text: &str) -> String {
    let mut characters = text.chars();
    let first = characters.next().map(|first| first.to_uppercase().to_string());
    first.unwrap_or_default() + characters.as_str()
}

#[cfg(test)]
mod tests {
    use super::{advantage, bytes, change, difference, duration, grouped, list, percent};
    use crate::study::schema::Metric;

    #[test]
    fn a_ratio_is_told_in_its_own_direction() {
        let told = |metric, ratio| difference(metric, ratio, Some("request"));
        assert_eq!(told(Metric::CpuNsPerUnit, 0.8), "20% less CPU time per request");
        assert_eq!(told(Metric::CpuNsPerUnit, 1.25), "25% more CPU time per request");
        assert_eq!(told(Metric::UnitsPerSecond, 0.8), "20% fewer requests per second");
        assert_eq!(told(Metric::UnitsPerSecond, 1.25), "25% more requests per second");
        assert_eq!(told(Metric::P99Ns, 0.8), "20% lower p99 latency");
        assert_eq!(told(Metric::P99Ns, 2.5), "2.5 times the p99 latency");
        assert_eq!(told(Metric::SystemCallsPerUnit, 0.2), "80% fewer system calls per request");
        let memory = Metric::ResidentBytesPerConnection;
        assert_eq!(told(memory, 1.3), "30% more memory per connection");
        assert_eq!(difference(Metric::UnitsPerSecond, 0.5, None), "50% less work per second");
    }

    #[test]
    fn only_throughput_is_better_when_there_is_more() {
        for metric in super::super::ratio::METRICS {
            let is_better = advantage(metric, 1.5) > 1.0;
            assert_eq!(is_better, metric == Metric::UnitsPerSecond, "{metric:?}");
            assert_eq!(advantage(metric, 0.5) > 1.0, !is_better, "{metric:?}");
        }
    }

    #[test]
    fn numbers_are_as_exact_as_they_are_of_use() {
        assert_eq!(percent(-0.1834), "18%");
        assert_eq!(percent(0.0123), "1.2%");
        assert_eq!(percent(-0.996), "99.6%");
        assert_eq!(change(0.5), "50% less");
        assert_eq!(change(12.0), "12 times");
        assert_eq!(duration(1234.0), "1.23\u{a0}µs");
        assert_eq!(duration(8.0), "8\u{a0}ns");
        assert_eq!(duration(9_997.0), "10.0\u{a0}µs");
        assert_eq!(duration(10_000.0), "10\u{a0}µs");
        assert_eq!(bytes(1536.0), "1.50\u{a0}KiB");
        assert_eq!(grouped(1_234_567.0), "1,234,567");
        assert_eq!(list(&["a".into(), "b".into(), "c".into()]), "a, b and c");
    }
}
