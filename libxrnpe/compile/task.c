// SPDX-License-Identifier: MIT
/*
 * What the network is for: labels tell how well it does that, and how much of it a model loses.
 * Measured on inputs that nothing is fitted to; each is compared with what binary32 makes of the
 * same input, for most errors are the network's own, and tell nothing of the model.
 */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "compile.h"
#include "error.h"
#include "labels.h"

/* Inputs that are run at a time. */
#define CHUNK 64
/* Most that a loss can be. */
#define WORST 1e30
/* Standard errors above what was measured; below that is the truth in 95 of 100 cases. */
#define CERTAIN 1.645

/* What runs inputs: the graph in binary32, or a session. */
struct runner {
	struct compiler *compiler;
	struct xrnpe_session *session;	/* NULL: the graph */
	const float **inputs;		/* by input of the network, CHUNK of each */
	float **outputs;		/* the first alone is wanted */
};

/* ---- running ------------------------------------------------------------ */

static void runner_free(struct runner *runner)
{
	for (uint32_t i = 0; runner->inputs && i < runner->compiler->source->input_count; i++)
		free((void *)runner->inputs[i]);
	if (runner->outputs)
		free(runner->outputs[0]);
	free(runner->inputs);
	free(runner->outputs);
}

static int runner_prepare(struct runner *runner, struct compiler *compiler,
			  struct xrnpe_session *session)
{
	const struct xrnpe_graph *graph = compiler->source;
	bool failed;

	*runner = (struct runner){
		.compiler = compiler, .session = session,
		.inputs = calloc(graph->input_count + (size_t)1, sizeof(*runner->inputs)),
		.outputs = calloc(graph->output_count, sizeof(*runner->outputs)),
	};
	failed = !runner->inputs || !runner->outputs;
	for (uint32_t i = 0; !failed && i < graph->input_count; i++) {
		runner->inputs[i] = calloc(CHUNK * graph->infos[i].count + 1, sizeof(float));
		failed = !runner->inputs[i];
	}
	if (!failed)
		runner->outputs[0] = calloc(CHUNK * xrnpe_graph_output(graph, 0)->count + 1, sizeof(float));
	if (!failed && runner->outputs[0])
		return 0;
	runner_free(runner);
	return xrnpe_fail_memory(compiler->error);
}

/* How wrong @output is for calibration input @input: 0 or 1 by class, else the mean square. */
static double judge_output(const struct compiler *compiler, size_t input, const float *output)
{
	const struct xrnpe_array *labels = compiler->options->labels;
	size_t count = xrnpe_graph_output(compiler->source, 0)->count;
	const float *target = labels->data + input * count;
	double sum = 0;

	if (compiler->task.classes)
		return (float)labels_class(output, count) != labels->data[input];
	for (size_t i = 0; i < count; i++)
		sum += pow((double)output[i] - target[i], 2) / (double)count;
	return sum < WORST ? sum : WORST;
}

/* Run those of the task's inputs from @first on; how wrong each is goes to @errors. */
static int run_chunk(const struct runner *runner, size_t first, size_t count, double *errors)
{
	struct compiler *compiler = runner->compiler;
	const struct xrnpe_graph *graph = compiler->source;
	const size_t *inputs = compiler->task.inputs + first;
	size_t size = xrnpe_graph_output(graph, 0)->count;
	uint32_t status;
	int ret;

	for (uint32_t i = 0; i < graph->input_count; i++) {
		size_t each = graph->infos[i].count;
		const float *data = compiler->options->calibration[i].data;

		for (size_t k = 0; k < count; k++)
			memcpy((float *)runner->inputs[i] + k * each, data + inputs[k] * each,
			       each * sizeof(float));
	}
	ret = runner->session ?
	      xrnpe_session_run(runner->session, count, runner->inputs, runner->outputs, NULL, NULL,
				&status, compiler->error) :
	      xrnpe_graph_run(graph, count, runner->inputs, runner->outputs, NULL, NULL,
			      compiler->error);
	for (size_t k = 0; !ret && k < count; k++)
		errors[first + k] = judge_output(compiler, inputs[k], runner->outputs[0] + k * size);
	return ret ? ret : compile_step(compiler);
}

static int run_all(struct compiler *compiler, struct xrnpe_session *session, double *errors)
{
	size_t count = compiler->task.count;
	struct runner runner;
	int ret = runner_prepare(&runner, compiler, session);

	if (ret)
		return ret;
	for (size_t first = 0; !ret && first < count; first += CHUNK)
		ret = run_chunk(&runner, first, count - first < CHUNK ? count - first : CHUNK, errors);
	runner_free(&runner);
	return ret;
}

size_t task_steps(const struct compiler *compiler)
{
	return (compiler->task.count + CHUNK - 1) / CHUNK;
}

/* ---- what is lost ------------------------------------------------------- */

/*
 * Of classes: inputs that binary32 tells right and the model does not, less those where it is
 * the other way round. Adding a half to both numbers keeps the standard error from being
 * nothing where there are none (Agresti and Min, 2005).
 */
static struct xrnpe_task compare_classes(const double *exact, const double *errors, size_t count)
{
	double n = (double)count, lost = 0, gained = 0, wrong = 0;

	for (size_t i = 0; i < count; i++) {
		lost += errors[i] > exact[i];
		gained += errors[i] < exact[i];
		wrong += exact[i];
	}
	return (struct xrnpe_task){
		.classes = true, .inputs = (unsigned int)count,
		.float_score = 1 - wrong / n, .score = 1 - (wrong + lost - gained) / n,
		.loss = (lost - gained) / n,
		.spread = sqrt(lost + gained + 1 - pow(lost - gained, 2) / n) / n,
	};
}

/* By how much the root of the mean square @error is above that of @exact. */
static double increase(double error, double exact)
{
	double ratio = exact > 0 ? sqrt(fmax(error, 0) / exact) - 1 : error > 0 ? WORST : 0;

	return ratio < WORST ? ratio : WORST;
}

/* Of targets: the standard error is by what the loss is without each of the inputs. */
static struct xrnpe_task compare_targets(const double *exact, const double *errors, size_t count)
{
	double n = (double)count, sum = 0, exact_sum = 0, mean = 0, squares = 0;

	for (size_t i = 0; i < count; i++) {
		sum += errors[i];
		exact_sum += exact[i];
	}
	for (size_t i = 0; i < count; i++)
		mean += increase(sum - errors[i], exact_sum - exact[i]) / n;
	for (size_t i = 0; i < count; i++)
		squares += pow(increase(sum - errors[i], exact_sum - exact[i]) - mean, 2);
	return (struct xrnpe_task){
		.inputs = (unsigned int)count,
		.float_score = sqrt(exact_sum / n), .score = sqrt(sum / n),
		.loss = increase(sum, exact_sum),
		.spread = fmin(sqrt((n - 1) / n * squares), WORST),
	};
}

double task_most_loss(const struct xrnpe_task *task)
{
	return task->loss + CERTAIN * task->spread;
}

int task_measure(struct compiler *compiler, struct xrnpe_model *model)
{
	const struct task *task = &compiler->task;
	double *errors = malloc((task->count + 1) * sizeof(*errors));
	struct xrnpe_session *session = NULL;
	struct xrnpe_device *device = NULL;
	int ret = errors ? 0 : xrnpe_fail_memory(compiler->error);

	if (!ret)
		ret = xrnpe_device_open("emu", &device, compiler->error);
	if (!ret)
		ret = xrnpe_session_new(device, model, NULL, &session, compiler->error);
	if (!ret)
		ret = run_all(compiler, session, errors);
	if (!ret)
		model->task = (task->classes ? compare_classes : compare_targets)(task->exact, errors,
										  task->count);
	xrnpe_session_free(session);
	xrnpe_device_close(device);
	free(errors);
	return ret;
}

/* ---- labels ------------------------------------------------------------- */

/* That labels are one class, or one output, for each input; which of them. */
static int check_labels(struct compiler *compiler)
{
	const struct xrnpe_array *labels = compiler->options->labels;
	const struct xrnpe_tensor_info *out = xrnpe_graph_output(compiler->source, 0);
	const char *name = compiler->source->name;
	size_t count = inputs_count(compiler);
	char text[64];

	compiler->task.classes = labels->rank == 1 && labels->count == count && out->count > 1;
	if (compiler->task.classes)
		return labels_check(labels, name, count, out, compiler->error);
	if (!labels->rank || labels->dims[0] != count || labels->count != count * out->count)
		return xrnpe_fail(compiler->error, -EINVAL,
				  "%s: labels are not a class, or %zu values of output %s, for each of %zu inputs",
				  name, out->count, graph_printable(out->name, text), count);
	for (size_t i = 0; i < labels->count; i++) {
		if (!isfinite(labels->data[i]))
			return xrnpe_fail(compiler->error, -EINVAL, "%s: label %zu is not finite",
					  name, i / out->count);
	}
	return 0;
}

/* That there are enough of them to know what is asked for. */
static int check_count(struct compiler *compiler)
{
	size_t count = compiler->task.count;
	double limit = compiler->options->limits.loss;
	/* Of a model that says the same of each. */
	const struct xrnpe_task nothing = { .spread = 1 / (double)count };

	if (count < 2)
		return xrnpe_fail(compiler->error, -EINVAL,
				  "%s: labels of so few inputs tell nothing: give at least four",
				  compiler->source->name);
	if (limit > 0 && compiler->task.classes && task_most_loss(&nothing) > limit)
		return xrnpe_fail(compiler->error, -EINVAL,
				  "%s: a loss of %.3g %% is not known from %zu inputs kept aside: give at least %.0f with labels",
				  compiler->source->name, 100 * limit, count, 2 * ceil(CERTAIN / limit));
	return 0;
}

int task_prepare(struct compiler *compiler)
{
	struct task *task = &compiler->task;
	int ret;

	if (!compiler->options->labels)
		return compiler->options->limits.loss > 0 ?
		       xrnpe_fail(compiler->error, -EINVAL, "%s: what is lost of a task needs labels to be known",
				  compiler->source->name) : 0;
	ret = check_labels(compiler);
	if (!ret)
		ret = check_count(compiler);
	if (ret)
		return ret;
	task->exact = malloc(task->count * sizeof(*task->exact));
	return task->exact ? run_all(compiler, NULL, task->exact) : xrnpe_fail_memory(compiler->error);
}
