//! The pictures in the manuals are drawn by hand. They must show what the plugin reports, and the panels that the dashboard has.

mod dashboard;
mod drawing;
mod run;

use drawing::{Drawing, PICTURES, close};
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;

#[test]
fn the_drawn_trace_is_the_one_that_the_core_makes_of_the_calls() {
    let (drawing, spans) = (Drawing::open("trace.svg"), run::spans());
    let ticks: Vec<_> = drawing.elements("<text class=\"tick\"").collect();
    let (first, last) = (&ticks[0], ticks.last().unwrap());
    let second = |tick: &drawing::Element<'_>| tick.text().trim_end_matches(" s").parse::<f64>().unwrap();
    let scale = (last.number("x") - first.number("x")) / (second(last) - second(first));

    let rows: Vec<_> = drawing.groups("<g class=\"span").collect();
    assert_eq!(rows.len(), spans.len(), "trace.svg has another number of spans");
    for (row, span) in rows.iter().zip(&spans) {
        assert_eq!(row.elements("<text class=\"name\"").next().unwrap().text(), span.name);
        let seconds = |from: u64, to: u64| (to - from) as f64 / 1e9;
        let took = seconds(span.start_time_unix_nano, span.end_time_unix_nano);
        let start = seconds(spans[0].start_time_unix_nano, span.start_time_unix_nano);
        let bars: Vec<_> = row.elements("<rect").collect();
        let width: f64 = bars.iter().map(|bar| bar.number("width")).sum();
        close(bars[0].number("x"), first.number("x") + start * scale, &span.name);
        close(width, took * scale, &span.name);
        let mut figures = vec![format!("{took:.1} s")];
        let is_error = span.status.is_some();
        assert_eq!(row.source.starts_with("<g class=\"span failed\""), is_error, "{}", span.name);
        match span.name.split(' ').next().unwrap() {
            "chat" => {
                close(bars[0].number("width"), number(span, "gaugeway.time_to_first_token") * scale, &span.name);
                let tokens = ["input", "output"].map(|kind| number(span, &format!("gen_ai.usage.{kind}_tokens")));
                figures.push(format!("{} → {}", grouped(tokens[0]), grouped(tokens[1])));
                figures.push(format!("${:.4}", number(span, "gaugeway.cost.usd")));
            }
            "invoke_agent" => {
                figures.push(format!("{} iterations", number(span, "gaugeway.agent.iterations")));
                figures.push(told(span, "gaugeway.agent.status").unwrap());
            }
            _ => figures.extend(told(span, "error.type")),
        }
        let drawn: Vec<_> = row.elements("<text class=\"end").map(|text| text.text().to_owned()).collect();
        assert_eq!(drawn, figures, "{}", span.name);
        assert_eq!(span.parent_span_id == spans[0].span_id, span.name != "invoke_agent", "{}", span.name);
    }
}

#[test]
fn every_attribute_in_the_drawn_trace_has_the_value_that_the_core_reports() {
    let (drawing, spans) = (Drawing::open("trace.svg"), run::spans());
    let cards: Vec<_> = drawing.groups("<g class=\"card\"").collect();
    assert_eq!(cards.len(), 3);
    for card in cards {
        let name = card.elements("<text class=\"head\"").next().unwrap().text();
        let keys = card.elements("<text class=\"key\"").map(|text| text.text());
        let values = card.elements("<text class=\"end value\"").map(|text| text.text());
        let drawn: Vec<_> = keys.zip(values).collect();
        assert!(drawn.len() > 2, "{name} has only {drawn:?}");
        // One of the calls has all of them.
        let has = |span: &Span, (key, value): &(&str, &str)| told(span, key).as_deref() == Some(*value);
        let of_name = spans.iter().filter(|span| span.name == name);
        let lacks: Vec<Vec<_>> = of_name.map(|span| drawn.iter().filter(|pair| !has(span, pair)).collect()).collect();
        let nearest = lacks.iter().min_by_key(|lacks| lacks.len());
        assert_eq!(nearest, Some(&Vec::new()), "no span {name} has these");
    }
}

/// Text is written in letters that can be read at the width of a page on GitHub, and the colours exist for light and dark.
#[test]
fn every_picture_names_itself_and_can_be_read_in_light_and_dark() {
    for name in PICTURES {
        let drawing = Drawing::open(name);
        let source = drawing.source.as_str();
        for part in [
            "viewBox=\"0 0 830 ",
            "role=\"img\" aria-labelledby=\"title desc\"",
            "<title id=\"title\">",
            "<desc id=\"desc\">",
        ] {
            assert!(source.contains(part), "{name} has no {part}");
        }
        assert!(source.len() < 20_000, "{name} has {} bytes", source.len());
        assert!(
            !source.contains("href=\"h") && !source.contains("url(") && !source.contains("<script"),
            "{name} refers to something else"
        );
        for size in source.split("font-size: ").chain(source.split("font: ")).skip(1) {
            let Some(size) = size.split_once("px").and_then(|(size, _)| size.parse::<u32>().ok()) else { continue };
            assert!(size >= 12, "{name} has text of {size} pixels");
        }
        let (light, dark) =
            source.split_once("@media (prefers-color-scheme: dark)").expect("there are no dark colours");
        let tones = |part: &str| part.split("--").skip(1).filter_map(|rest| rest.split_once(": #")).count();
        assert!(tones(light) > 5 && tones(dark.split("</style>").next().unwrap()) > 5, "{name} has too few colours");
        let manual = drawing::manuals().any(|text| {
            text.split("![").skip(1).filter_map(|rest| rest.split_once("](")).any(|(alt, rest)| {
                alt.len() > 40 && rest.split(')').next().is_some_and(|path| path.ends_with(&format!("pictures/{name}")))
            })
        });
        assert!(manual, "no manual shows {name} with a text in its place");
    }
}

fn number(span: &Span, key: &str) -> f64 {
    told(span, key).unwrap_or_else(|| panic!("{} has no {key}", span.name)).parse().unwrap()
}

/// An attribute as the pictures write it.
fn told(span: &Span, key: &str) -> Option<String> {
    let value = &span.attributes.iter().find(|attribute| attribute.key == key)?.value.as_ref()?.value;
    Some(match value.as_ref()? {
        Value::StringValue(text) => text.clone(),
        Value::IntValue(number) => number.to_string(),
        Value::DoubleValue(number) => number.to_string(),
        Value::ArrayValue(list) => {
            let texts =
                list.values.iter().map(|one| format!("{:?}", one.value.as_ref()).split('"').nth(1).map(str::to_owned));
            format!("[{}]", texts.flatten().map(|text| format!("\"{text}\"")).collect::<Vec<_>>().join(", "))
        }
        other => panic!("{key} is {other:?}"),
    })
}

/// A whole number with commas.
fn grouped(number: f64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
