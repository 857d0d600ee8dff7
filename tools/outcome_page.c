// SPDX-License-Identifier: MIT
/* What the compiler chose, and what else there was, as a page to look at. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "formats.h"
#include "io.h"
#include "outcome.h"
#include "points.h"
#include "quality.h"

/* Drawings, in units of about a pixel. */
enum { WIDTH = 440, HEIGHT = 300, LEFT = 64, BOTTOM = 44, TOP = 14, RIGHT = 18 };
enum { BARS = 300, LINE = 20 };

static const char style[] =
	":root{color-scheme:light dark;--ink:#222;--paper:#fff;--dim:#777;--line:#ddd;"
	"--fp4:#2a9d3a;--p4:#7cb342;--p8:#e0a100;--p16:#d1495b;--f32:#6d6d8a;--mark:#1565c0}"
	"@media(prefers-color-scheme:dark){:root{--ink:#ddd;--paper:#181818;--dim:#999;--line:#444;"
	"--mark:#64b5f6}}"
	"body{font:15px/1.45 system-ui,sans-serif;color:var(--ink);background:var(--paper);"
	"max-width:75em;margin:2em auto;padding:0 1em}"
	"h1{font-size:1.4em}h2{font-size:1.1em;margin-top:2em}"
	"table{border-collapse:collapse;font-size:13px}td,th{padding:.2em .6em;text-align:right;"
	"border-bottom:1px solid var(--line);white-space:nowrap}td.t,th.t{text-align:left}"
	".scroll{overflow-x:auto}.dim{color:var(--dim)}.on{font-weight:bold;color:var(--mark)}"
	"svg text{font:12px system-ui,sans-serif;fill:var(--ink)}svg .g{stroke:var(--line)}"
	".fp4{fill:var(--fp4)}.p4{fill:var(--p4)}.p8{fill:var(--p8)}.p16{fill:var(--p16)}"
	".f32{fill:var(--f32)}.o{fill:var(--dim)}.c{fill:var(--mark)}";

/* Text, which may be anything. */
static void put_text(FILE *f, const char *text, size_t length)
{
	for (; length--; text++) {
		switch (*text) {
		case '<':
			fputs("&lt;", f);
			break;
		case '>':
			fputs("&gt;", f);
			break;
		case '&':
			fputs("&amp;", f);
			break;
		case '"':
			fputs("&quot;", f);
			break;
		default:
			fputc((unsigned char)*text < ' ' ? ' ' : *text, f);
		}
	}
}

static void put_name(FILE *f, const char *name)
{
	put_text(f, name, strlen(name));
}

/* ---- the set of models tried -------------------------------------------- */

/* A logarithmic axis. */
struct axis {
	double low, high;	/* logarithms */
	int from, to;		/* where these are drawn */
};

static void axis_add(struct axis *axis, double value)
{
	/* An error of nothing would be infinitely far off. */
	double at = log10(fmax(value, 1e-9));

	axis->low = fmin(axis->low, at);
	axis->high = fmax(axis->high, at);
}

static double axis_place(const struct axis *axis, double value)
{
	double share = (log10(fmax(value, 1e-9)) - axis->low) / (axis->high - axis->low);

	return axis->from + share * (axis->to - axis->from);
}

/* 1, 2 or 5 times a power of ten. */
static double next_tick(double tick)
{
	double power = pow(10, floor(log10(tick) + 1e-9)), lead = tick / power;

	return power * (lead < 1.5 ? 2 : lead < 3 ? 5 : 10);
}

static void put_ticks(FILE *f, const struct axis *axis, bool across)
{
	double last = -1e9;

	for (double tick = pow(10, floor(axis->low)); tick <= pow(10, axis->high); tick = next_tick(tick)) {
		double at = axis_place(axis, tick);

		if (log10(tick) < axis->low || fabs(at - last) < 34)
			continue;
		last = at;
		if (across)
			fprintf(f, "<line class=g x1='%.0f' x2='%.0f' y1='%d' y2='%d'/>"
				"<text x='%.0f' y='%d' text-anchor=middle>%.4g</text>", at, at, TOP,
				HEIGHT - BOTTOM, at, HEIGHT - BOTTOM + 16, tick);
		else
			fprintf(f, "<line class=g x1='%d' x2='%d' y1='%.0f' y2='%.0f'/>"
				"<text x='%d' y='%.0f' text-anchor=end>%.3g</text>", LEFT,
				WIDTH - RIGHT, at, at, LEFT - 6, at + 4, tick);
	}
}

/* In thousands: of bytes, or of cycles. */
static double trial_size(const struct xrnpe_trial *trial, bool bytes)
{
	return (bytes ? (double)trial->bytes : trial->cycles) / 1000;
}

static void put_trials(FILE *f, const struct xrnpe_model *model, bool bytes)
{
	struct axis x = { INFINITY, -INFINITY, LEFT, WIDTH - RIGHT };
	struct axis y = { INFINITY, -INFINITY, HEIGHT - BOTTOM, TOP };

	for (unsigned int i = 0; i < xrnpe_model_trial_count(model); i++) {
		axis_add(&x, trial_size(xrnpe_model_trial(model, i), bytes));
		axis_add(&y, 100 * xrnpe_model_trial(model, i)->quality.error);
	}
	x.low -= 0.05;
	x.high += 0.05;
	y.low -= 0.1;
	y.high += 0.1;
	fprintf(f, "<svg width='%d' height='%d' role=img>", WIDTH, HEIGHT);
	put_ticks(f, &x, true);
	put_ticks(f, &y, false);
	fprintf(f, "<text x='%d' y='%d' text-anchor=middle>thousand %s</text>"
		"<text transform='translate(14 %d) rotate(-90)' text-anchor=middle>error, %%</text>",
		(LEFT + WIDTH - RIGHT) / 2, HEIGHT - 8, bytes ? "bytes" : "cycles",
		(TOP + HEIGHT - BOTTOM) / 2);
	for (unsigned int i = 0; i < xrnpe_model_trial_count(model); i++) {
		const struct xrnpe_trial *trial = xrnpe_model_trial(model, i);

		fprintf(f, "<circle class=%s cx='%.1f' cy='%.1f' r='%d' fill-opacity='%s'><title>%" PRIu64
			" bytes, %.0f cycles, %.2f uJ, error %.3g %%</title></circle>",
			trial->carried ? "c" : "o", axis_place(&x, trial_size(trial, bytes)),
			axis_place(&y, 100 * trial->quality.error), trial->chosen ? 7 : 4,
			trial->best ? "1" : ".35", trial->bytes, trial->cycles,
			trial->picojoules / 1e6, 100 * trial->quality.error);
	}
	fputs("</svg>", f);
}

static void put_points(FILE *f, const struct xrnpe_model *model, const struct xrnpe_energy *energy)
{
	fputs("<div class=scroll><table><tr><th>point<th>bytes<th>own<th>cycles<th>ms<th>uJ<th>error</tr>\n", f);
	for (unsigned int i = 0; i < xrnpe_model_point_count(model); i++) {
		const struct xrnpe_model *point = xrnpe_model_point(model, i);
		const struct point_needs needs = point_needs(point, NULL, energy);

		fprintf(f, "<tr><td%s>%u</td><td>%" PRIu64 "</td><td>%" PRIu64 "</td><td>%" PRIu64
			"</td><td>%.3f</td><td>%.3f</td><td>%.2g %%</td></tr>\n",
			i == xrnpe_model_point_index(model) ? " class=on" : "", i, needs.bytes, needs.own,
			(uint64_t)needs.cost.counters.cycles, 1e3 * needs.cost.seconds,
			needs.cost.picojoules / 1e6, 100 * xrnpe_model_quality(point)->error);
	}
	fputs("</table></div>", f);
}

/* ---- layers ------------------------------------------------------------- */

static const char *weight_class(const struct xrnpe_layer_info *layer)
{
	return layer->macs ? xrnpe_format_name(layer->weight_format) : "o";
}

static void put_bar(FILE *f, int x, unsigned int row, double share, const char *class,
		    const char *name, double value, const char *unit)
{
	fprintf(f, "<rect class=%s x='%d' y='%u' width='%.1f' height='%d'><title>", class, x,
		row * LINE + 3, fmax(share * BARS, 0.5), LINE - 6);
	put_name(f, name);
	fprintf(f, ": %.0f %s</title></rect>", value, unit);
}

/* Bytes on the left, cycles on the right, a line for each layer. */
static void put_bars(FILE *f, const struct xrnpe_model *model, const struct xrnpe_cost *costs)
{
	unsigned int count = xrnpe_model_layer_count(model);
	double bytes = 1, cycles = 1;

	for (unsigned int i = 0; i < count; i++) {
		bytes = fmax(bytes, (double)xrnpe_model_layer(model, i)->bytes);
		cycles = fmax(cycles, (double)costs[i].counters.cycles);
	}
	fprintf(f, "<div class=scroll><svg width='%d' height='%u' role=img>", 3 * BARS + 20,
		count * LINE);
	for (unsigned int i = 0; i < count; i++) {
		const struct xrnpe_layer_info *layer = xrnpe_model_layer(model, i);
		double of_layer = (double)costs[i].counters.cycles;

		fprintf(f, "<text x='%d' y='%u' text-anchor=end>", BARS - 8, i * LINE + 15);
		put_name(f, layer->name);
		fputs("</text>", f);
		put_bar(f, BARS, i, (double)layer->bytes / bytes, weight_class(layer), layer->name,
			(double)layer->bytes, "bytes");
		put_bar(f, 2 * BARS + 20, i, of_layer / cycles,
			layer->place == XRNPE_PLACE_CPU ? "o" : xrnpe_format_name(layer->format),
			layer->name, of_layer, "cycles");
	}
	fputs("</svg></div>", f);
}

/* A layer's error in each format; that of its choice stands out. */
static void put_alone(FILE *f, const double errors[XRNPE_PRODUCT_FORMATS], enum xrnpe_format chosen)
{
	for (unsigned int i = 0; i < XRNPE_PRODUCT_FORMATS; i++) {
		if (errors[i] < 0)
			fputs("<td class=dim>-</td>", f);
		else
			fprintf(f, "<td%s>%.2g %%</td>", i == (unsigned int)chosen ? " class=on" : "",
				100 * errors[i]);
	}
}

static void put_layer(FILE *f, const struct outcome *outcome, unsigned int i)
{
	const struct xrnpe_layer_info *layer = xrnpe_model_layer(outcome->model, i);
	const struct xrnpe_cost *cost = &outcome->costs[i];
	char formats[16];

	fputs("<tr><td class=t>", f);
	put_name(f, layer->name);
	fputs("</td><td class=t>", f);
	put_name(f, layer->op);
	if (layer->place == XRNPE_PLACE_CPU) {
		fprintf(f, "</td><td class='t dim'>CPU, here %.3g ms: ", outcome->seconds[i] * 1e3);
		put_name(f, layer->why);
	} else {
		formats_text(layer, formats, sizeof(formats));
		fprintf(f, "</td><td class=t>%s", formats);
	}
	fprintf(f, "</td><td>%" PRIu64 "</td><td>%" PRIu64 "</td><td>%.3f</td><td>%.2g %%</td>",
		layer->bytes, (uint64_t)cost->counters.cycles, cost->picojoules / 1e6, 100 * layer->error);
	put_alone(f, layer->weight_error, layer->weight_format);
	put_alone(f, layer->input_error, layer->format);
	fputs("</tr>\n", f);
}

static void put_layers(FILE *f, const struct outcome *outcome)
{
	fputs("<div class=scroll><table><tr><th class=t rowspan=2>layer<th class=t rowspan=2>operators"
	      "<th class=t rowspan=2>formats<th rowspan=2>bytes<th rowspan=2>cycles<th rowspan=2>uJ"
	      "<th rowspan=2>error<br>in place<th colspan=4>alone, weights in<th colspan=4>alone, inputs in"
	      "</tr><tr>", f);
	for (unsigned int i = 0; i < 2 * XRNPE_PRODUCT_FORMATS; i++)
		fprintf(f, "<th>%s", xrnpe_format_name(i % XRNPE_PRODUCT_FORMATS));
	fputs("</tr>\n", f);
	for (unsigned int i = 0; i < xrnpe_model_layer_count(outcome->model); i++)
		put_layer(f, outcome, i);
	fputs("</table></div>", f);
}

/* ---- the page ----------------------------------------------------------- */

static void put_summary(FILE *f, const struct outcome *outcome)
{
	const struct xrnpe_quality *quality = xrnpe_model_quality(outcome->model);
	const struct xrnpe_cost *total = &outcome->total;

	fprintf(f, "<p>%" PRIu64 " bytes of parameters", outcome->bytes);
	print_ratio(f, outcome->bytes, outcome->float_bytes, "in binary32");
	fprintf(f, "; %" PRIu64 " cycles, %.3f ms and %.2f uJ an inference by the cycle model.</p>"
		"<p>The outputs differ from those in binary32 by %.3g %%",
		(uint64_t)total->counters.cycles, 1e3 * total->seconds, total->picojoules / 1e6,
		100 * quality->error);
	if (isfinite(quality->spread))
		fprintf(f, " &plusmn; %.1g %%", 100 * quality->spread);
	fprintf(f, " (root mean square, relative), measured on %u input%s %s.</p>", quality->inputs,
		quality->inputs == 1 ? "" : "s", quality->unseen ? "that nothing was fitted to" :
		"that numbers were fitted to: on others it is larger");
	if (xrnpe_model_task(outcome->model)) {
		fputs("<p>", f);
		print_task(f, xrnpe_model_task(outcome->model));
		fputs("</p>", f);
	}
	fputs("<ul>", f);
	for (const char *line = outcome->notes; *line; line = strchr(line, '\n') + 1) {
		fputs("<li>", f);
		put_text(f, line, strcspn(line, "\n"));
	}
	fputs("</ul>", f);
}

static void put_page(FILE *f, const struct outcome *outcome)
{
	const struct xrnpe_model *model = outcome->model;
	const char *base = strrchr(outcome->path, '/');
	const char *name = base ? base + 1 : outcome->path;

	fprintf(f, "<!DOCTYPE html>\n<html lang=en><meta charset=utf-8>"
		"<meta name=viewport content='width=device-width'><title>");
	put_name(f, name);
	fprintf(f, "</title><style>%s</style>\n<h1>", style);
	put_name(f, name);
	fputs("</h1>", f);
	put_summary(f, outcome);
	if (xrnpe_model_trial_count(model) > 1) {
		fputs("<h2>What else there is</h2><p>Models that were tried; the large dot is the one that "
		      "was taken, others of its colour are points of the model, too; pale ones are beaten "
		      "in bytes, cycles, energy and error at once.</p>", f);
		put_trials(f, model, true);
		put_trials(f, model, false);
	}
	if (xrnpe_model_point_count(model) > 1) {
		fputs("<h2>Points</h2><p>The model has several points, between which programs switch; bold is the "
		      "one that it begins with, and that is meant below. Own are constants and commands that "
		      "no other point uses.</p>", f);
		put_points(f, model, outcome->energy);
	}
	fputs("\n<h2>Layers</h2><p>Bytes by the format of weights, cycles by that of inputs: "
	      "<svg width='330' height='16'>", f);
	for (unsigned int i = 0; i < XRNPE_PRODUCT_FORMATS; i++)
		fprintf(f, "<rect class=%s x='%u' y='2' width='12' height='12'/><text x='%u' y='13'>%s</text>",
			xrnpe_format_name(i), i * 70, i * 70 + 18, xrnpe_format_name(i));
	fputs("</svg></p>", f);
	put_bars(f, model, outcome->costs);
	fputs("\n<h2>Errors</h2><p>Root mean square, relative: of a layer's output in the whole model; and "
	      "with its weights or its inputs alone in a format, all else in binary32. Bold: as chosen.</p>", f);
	put_layers(f, outcome);
	fputs("<p class=dim>Not measured: the effect of Posit(16,1) alone on the outputs, which is "
	      "taken in proportion to that of Posit(8,0); layers with - compute nothing that has a format "
	      "of its own. Layers on the CPU are exact, and their time is not counted.</p></html>\n", f);
}

int outcome_write_page(const struct outcome *outcome, const char *path, struct xrnpe_error *error)
{
	struct xrnpe_file file;
	int ret = xrnpe_file_create(&file, path, error);

	if (ret)
		return ret;
	put_page(file.stream, outcome);
	return xrnpe_file_commit(&file, error);
}
