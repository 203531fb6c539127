//! A report as one page: no script that runs, nothing from elsewhere.

use kya_core::drill::evidence::Facts;

use super::LAYOUT;
use super::chart::{Anchor, Chart, Dashes, Ink, Mark, Shape, WIDTH};
use super::container::{HTML_CLOSE, html_open};
use super::content::{Block, Content, Table};

const STYLE: &str = include_str!("report.css");

/// The page. `evidence` is the text of the document.
pub(super) fn page(content: &Content, facts: &Facts, evidence: &str) -> String {
    let mut page = String::with_capacity(evidence.len() + 64 * 1024);
    let title = escaped(&format!("{} {}", content.title, facts.drill_id));
    page.push_str("<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n");
    // Nothing is loaded or sent, whatever is in the texts.
    page.push_str("<meta http-equiv=\"content-security-policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'\">\n");
    page.push_str("<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n");
    page.push_str(&format!(
        "<title>{title}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n<main>\n"
    ));
    page.push_str(&format!("<h1>{}</h1>\n", escaped(&content.title)));
    page.push_str(&format!("<p class=\"id\">{}</p>\n", escaped(&facts.drill_id)));
    let class = if content.passed { "passed" } else { "failed" };
    page.push_str(&format!("<p class=\"verdict {class}\">{}</p>\n", escaped(&content.verdict)));
    content.blocks.iter().for_each(|it| block(it, &mut page));
    page.push_str("</main>\n");
    page.push_str(&html_open(LAYOUT));
    page.push_str(evidence);
    page.push_str(HTML_CLOSE);
    page.push_str("</body>\n</html>\n");
    page
}

fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            other => safe.push(other),
        }
    }
    safe
}

fn block(block: &Block, page: &mut String) {
    match block {
        Block::Heading(text) => page.push_str(&format!("<h2>{}</h2>\n", escaped(text))),
        Block::Text(text) => page.push_str(&format!("<p>{}</p>\n", escaped(text))),
        Block::Figures(pairs) => list("figures", pairs, page),
        Block::Pairs(pairs) => list("pairs", pairs, page),
        Block::Table(it) => table(it, page),
        Block::List(items) => {
            page.push_str("<ul>\n");
            items.iter().for_each(|it| page.push_str(&format!("<li>{}</li>\n", escaped(it))));
            page.push_str("</ul>\n");
        }
        Block::Chart(it) => chart(it, page),
    }
}

fn list(class: &str, pairs: &[(&str, String)], page: &mut String) {
    page.push_str(&format!("<dl class=\"{class}\">\n"));
    for (name, value) in pairs {
        let (name, value) = (escaped(name), escaped(value));
        page.push_str(&format!("<div><dt>{name}</dt><dd>{value}</dd></div>\n"));
    }
    page.push_str("</dl>\n");
}

fn table(table: &Table, page: &mut String) {
    page.push_str("<div class=\"wide\"><table>\n<thead><tr>");
    let class = |right: bool| if right { " class=\"n\"" } else { "" };
    for (name, _, right) in &table.columns {
        page.push_str(&format!("<th scope=\"col\"{}>{}</th>", class(*right), escaped(name)));
    }
    page.push_str("</tr></thead>\n<tbody>\n");
    for row in &table.rows {
        page.push_str("<tr>");
        for (cell, (_, _, right)) in row.iter().zip(&table.columns) {
            page.push_str(&format!("<td{}>{}</td>", class(*right), escaped(cell)));
        }
        page.push_str("</tr>\n");
    }
    page.push_str("</tbody>\n</table></div>\n");
}

fn chart(chart: &Chart, page: &mut String) {
    let (height, label) = (chart.height, escaped(&chart.label));
    page.push_str(&format!(
        "<figure><svg viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" aria-label=\"{label}\">\n"
    ));
    chart.shapes.iter().for_each(|it| shape(it, page));
    page.push_str("</svg></figure>\n");
}

fn shape(shape: &Shape, page: &mut String) {
    match shape {
        Shape::Line { points, ink, width, dashes } => {
            let points: Vec<_> = points.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
            let dashes = match dashes {
                Dashes::None => "",
                Dashes::Short => " stroke-dasharray=\"3 2\"",
                Dashes::Long => " stroke-dasharray=\"8 3\"",
            };
            let (points, color) = (points.join(" "), color(*ink));
            page.push_str(&format!(
                "<polyline points=\"{points}\" fill=\"none\" stroke=\"{color}\" stroke-width=\"{width}\"{dashes}/>\n"
            ));
        }
        Shape::Mark { at: (x, y), mark, ink } => {
            let color = color(*ink);
            page.push_str(&match mark {
                Mark::Circle => format!(
                    "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"2.6\" fill=\"#fff\" stroke=\"{color}\" stroke-width=\"1.2\"/>\n"
                ),
                Mark::Square => format!(
                    "<rect x=\"{:.1}\" y=\"{:.1}\" width=\"5\" height=\"5\" fill=\"{color}\"/>\n",
                    x - 2.5,
                    y - 2.5
                ),
                Mark::Cross => format!(
                    "<path d=\"M{:.1} {:.1}l5 5m0-5l-5 5\" stroke=\"{color}\" stroke-width=\"1.2\"/>\n",
                    x - 2.5,
                    y - 2.5
                ),
            });
        }
        Shape::Text { at: (x, y), text, anchor, bold } => {
            let anchor = match anchor {
                Anchor::Start => "start",
                Anchor::Middle => "middle",
                Anchor::End => "end",
            };
            let weight = if *bold { " font-weight=\"600\"" } else { "" };
            page.push_str(&format!(
                "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\"{weight}>{}</text>\n",
                escaped(text)
            ));
        }
    }
}

/// Colors that are told apart with any color vision, and on paper by how dark they are.
fn color(ink: Ink) -> &'static str {
    match ink {
        Ink::Dark => "#1a1a1a",
        Ink::Faint => "#d9d9d9",
        Ink::First => "#0072b2",
        Ink::Last => "#b84700",
        Ink::Acknowledged => "#555555",
    }
}
