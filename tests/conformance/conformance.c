// SPDX-License-Identifier: MIT
/*
 * ONNX's own tests of its operators, through the importer and the FP32 reference, and then
 * compiled at Posit(16,1), written to a file, read again and run on the emulator. Each is a
 * folder with a model, inputs and the outputs that are right. What the library does not
 * have (an operator, an attribute, a type) is skipped, and the table says how much that
 * is, and how much ran wholly on the device; all else has to pass. Prints TAP, and the table
 * as comments.
 */
#include <dirent.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "graph.h"
#include "io.h"
#include "onnx.pb-c.h"
#include "onnx_tensor.h"
#include "operator.h"

/* As onnx/backend/test/runner compares; bfloat16, which is not rounded to here, was cut to 8 bits. */
#define RELATIVE 1e-3
#define RELATIVE_BFLOAT16 0x1p-7
#define ABSOLUTE 1e-7

/*
 * Root of the mean square of a compiled output's errors, over that of its values. Numbers
 * about 1 have 12 bits behind the point in Posit(16,1); a few roundings and scales that
 * suit most of a tensor, not each of its elements, leave this.
 */
#define COMPILED 0.01

#define MAX_TENSORS 64

enum outcome {
	PASSED,
	FAILED,
	NOT_APPLICABLE,
	OUTCOMES,
};

/* Tests of one operator: the first of a model. */
struct row {
	char *op;
	unsigned int count[OUTCOMES];
	unsigned int on_device;	/* of those that passed: compiled, nothing is left to the CPU */
};

static struct row rows[512];
static unsigned int row_count;
static unsigned int compiled;	/* tests that ran compiled too */
static struct xrnpe_device *device;

struct test {
	const char *directory, *name;
	const char *file;		/* for the compiled model */
	Onnx__ModelProto *model;
	struct xrnpe_graph *constants;	/* holds inputs and outputs as constants */
	Onnx__TensorProto *inputs[MAX_TENSORS], *outputs[MAX_TENSORS];
	unsigned int input_count, output_count;
	bool on_device;
	char reason[XRNPE_ERROR_SIZE + 64];
};

/* ---- files ------------------------------------------------------------- */

static unsigned char *read_file(const struct test *test, const char *name, size_t *size)
{
	unsigned char *data = NULL;
	char *path;

	if (asprintf(&path, "%s/%s/%s", test->directory, test->name, name) < 0)
		abort();
	if (xrnpe_file_read(path, GRAPH_MAX_FILE, &data, size, NULL))
		data = NULL;
	free(path);
	return data;
}

/* Tensors in files KIND_0.pb, KIND_1.pb ...; an empty file is an optional one left out. */
static unsigned int read_tensors(const struct test *test, const char *kind,
				 Onnx__TensorProto **tensors)
{
	unsigned int count = 0;

	for (; count < MAX_TENSORS; count++) {
		unsigned char *data;
		char name[64];
		size_t size;

		snprintf(name, sizeof(name), "test_data_set_0/%s_%u.pb", kind, count);
		data = read_file(test, name, &size);
		if (!data)
			break;
		tensors[count] = onnx__tensor_proto__unpack(NULL, size, data);
		free(data);
	}
	return count;
}

/* NumPy has no bfloat16: the files have its bits as 16-bit integers. */
static void mend_type(const Onnx__ValueInfoProto *info, Onnx__TensorProto *tensor)
{
	if (tensor && info->type && info->type->value_case == ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE &&
	    info->type->tensor_type->elem_type == ONNX__TENSOR_PROTO__DATA_TYPE__BFLOAT16)
		tensor->data_type = ONNX__TENSOR_PROTO__DATA_TYPE__BFLOAT16;
}

static bool load(struct test *test)
{
	size_t size;
	unsigned char *data = read_file(test, "model.onnx", &size);

	test->model = data ? onnx__model_proto__unpack(NULL, size, data) : NULL;
	free(data);
	if (!test->model || !test->model->graph)
		return false;
	test->input_count = read_tensors(test, "input", test->inputs);
	test->output_count = read_tensors(test, "output", test->outputs);
	for (unsigned int i = 0; i < test->input_count && i < test->model->graph->n_input; i++)
		mend_type(test->model->graph->input[i], test->inputs[i]);
	for (unsigned int i = 0; i < test->output_count && i < test->model->graph->n_output; i++)
		mend_type(test->model->graph->output[i], test->outputs[i]);
	return true;
}

static void unload(struct test *test)
{
	for (unsigned int i = 0; i < test->input_count; i++)
		onnx__tensor_proto__free_unpacked(test->inputs[i], NULL);
	for (unsigned int i = 0; i < test->output_count; i++)
		onnx__tensor_proto__free_unpacked(test->outputs[i], NULL);
	if (test->model)
		onnx__model_proto__free_unpacked(test->model, NULL);
	xrnpe_graph_free(test->constants);
}

/* ---- running ----------------------------------------------------------- */

/* What the file of an input says: the model may leave dimensions open. */
static struct xrnpe_shape shape_of(const char *name, const Onnx__TensorProto *tensor)
{
	struct xrnpe_shape shape = { .input = name, .rank = (unsigned int)tensor->n_dims };

	for (size_t i = 0; i < tensor->n_dims && i < XRNPE_TENSOR_RANK; i++)
		shape.dims[i] = (size_t)tensor->dims[i];
	return shape;
}

/* Inputs that the test feeds as constants of the model: all but those of @fed. */
static struct xrnpe_graph *import(struct test *test, uint64_t fed, int *ret)
{
	Onnx__GraphProto *proto = test->model->graph;
	Onnx__TensorProto **initializers = proto->initializer;
	size_t count = proto->n_initializer, size;
	Onnx__TensorProto *added[MAX_TENSORS * 2];
	char *names[MAX_TENSORS];
	struct xrnpe_shape shapes[MAX_TENSORS];
	struct xrnpe_graph_options options = { .shapes = shapes };
	struct xrnpe_graph *graph = NULL;
	struct xrnpe_error error = { 0 };
	uint8_t *data;

	for (size_t i = 0; i < count; i++)
		added[i] = initializers[i];
	for (unsigned int i = 0; i < test->input_count; i++) {
		names[i] = NULL;
		if (fed >> i & 1) {
			shapes[options.shape_count++] = shape_of(proto->input[i]->name, test->inputs[i]);
			continue;
		}
		names[i] = test->inputs[i]->name;
		test->inputs[i]->name = proto->input[i]->name;
		added[proto->n_initializer++] = test->inputs[i];
	}
	proto->initializer = added;
	size = onnx__model_proto__get_packed_size(test->model);
	data = malloc(size + 1);
	onnx__model_proto__pack(test->model, data);
	proto->initializer = initializers;
	proto->n_initializer = count;
	for (unsigned int i = 0; i < test->input_count; i++) {
		if (!(fed >> i & 1))
			test->inputs[i]->name = names[i];
	}
	*ret = xrnpe_graph_parse(test->name, data, size, &options, &graph, &error);
	if (*ret)
		snprintf(test->reason, sizeof(test->reason), "%s", error.message);
	free(data);
	return graph;
}

/* A tensor of the test as floats, from malloc(). */
static float *as_floats(struct test *test, const Onnx__TensorProto *proto,
			struct graph_tensor *info)
{
	struct xrnpe_error error;
	uint32_t index;
	size_t count;
	float *values;

	if (!test->constants)
		test->constants = graph_new(test->name);
	if (!proto || graph_add_tensor(test->constants, NULL, &index, NULL) ||
	    onnx_constant(test->constants, index, proto, NULL, &error))
		return NULL;
	*info = test->constants->tensors[index];
	count = graph_count(&info->shape);
	values = malloc((count + 1) * sizeof(*values));
	for (size_t i = 0; i < count; i++)
		values[i] = info->type == GRAPH_FLOAT ? ((float *)info->data)[i] :
			    info->type == GRAPH_INT ? (float)((int64_t *)info->data)[i] :
						      ((uint8_t *)info->data)[i];
	return values;
}

static bool is_close(float value, float right, double relative)
{
	if (isnan(value) || isnan(right))
		return isnan(value) && isnan(right);
	return value == right ||
	       fabs((double)value - right) <= ABSOLUTE + relative * fabs((double)right);
}

static bool compare(struct test *test, const struct xrnpe_tensor_info *info, const float *values,
		    const Onnx__TensorProto *proto)
{
	struct graph_tensor right;
	float *rights = as_floats(test, proto, &right);
	bool same = rights && info->rank == right.shape.rank;
	double relative = proto->data_type == ONNX__TENSOR_PROTO__DATA_TYPE__BFLOAT16 ?
			  RELATIVE_BFLOAT16 : RELATIVE;

	for (uint32_t i = 0; same && i < info->rank; i++)
		same = info->dims[i] == right.shape.dims[i];
	if (!same)
		snprintf(test->reason, sizeof(test->reason), "output %s has another shape", info->name);
	for (size_t i = 0; same && i < info->count; i++) {
		same = is_close(values[i], rights[i], relative);
		if (!same)
			snprintf(test->reason, sizeof(test->reason), "output %s[%zu] is %g, not %g",
				 info->name, i, (double)values[i], (double)rights[i]);
	}
	free(rights);
	return same;
}

/* The test's input that the graph calls @name. */
static const Onnx__TensorProto *find_input(const struct test *test, const char *name)
{
	for (unsigned int i = 0; i < test->input_count; i++) {
		if (!strcmp(test->model->graph->input[i]->name, name))
			return test->inputs[i];
	}
	return NULL;
}

/* Relative error of an output of the compiled model. */
static double error_of(const float *values, const float *right, size_t count)
{
	double errors = 0, squares = 0;

	for (size_t i = 0; i < count; i++) {
		double error = (double)values[i] - right[i];

		if (values[i] == right[i] || (isnan(values[i]) && isnan(right[i])))
			continue;
		errors += error * error;
	}
	for (size_t i = 0; i < count; i++)
		squares += (double)right[i] * right[i];
	return errors > 0 ? sqrt(errors / squares) : 0;
}

/* Write, read and run @model; @outputs are those of the reference. */
static enum outcome run_model(struct test *test, struct xrnpe_model *model,
			      const float *const *inputs, float *const *outputs,
			      struct xrnpe_error *error)
{
	unsigned int count = xrnpe_model_output_count(model);
	struct xrnpe_session *session = NULL;
	struct xrnpe_model *again = NULL;
	float *made[MAX_TENSORS] = { NULL };
	enum outcome outcome = PASSED;
	int ret = xrnpe_model_save(model, test->file, error);

	if (!ret)
		ret = xrnpe_model_load(test->file, &again, error);
	if (!ret)
		ret = xrnpe_session_new(device, again, NULL, &session, error);
	for (unsigned int i = 0; !ret && i < count; i++)
		made[i] = malloc((xrnpe_model_output(model, i)->count + 1) * sizeof(float));
	if (!ret)
		ret = xrnpe_session_run(session, 1, inputs, made, NULL, NULL, NULL, error);
	if (ret) {
		snprintf(test->reason, sizeof(test->reason), "compiled: %s", error->message);
		outcome = FAILED;
	}
	for (unsigned int i = 0; !ret && i < count; i++) {
		const struct xrnpe_tensor_info *info = xrnpe_model_output(model, i);
		double off = error_of(made[i], outputs[i], info->count);

		if (off <= COMPILED)
			continue;
		snprintf(test->reason, sizeof(test->reason), "compiled: output %s is off by %g", info->name,
			 off);
		outcome = FAILED;
	}
	for (unsigned int i = 0; i < count; i++)
		free(made[i]);
	xrnpe_session_free(session);
	xrnpe_model_free(again);
	return outcome;
}

/*
 * The same compiled, calibrated with the test's own inputs. What is not finite, or the same
 * for all inputs, is nothing to compile.
 */
static enum outcome run_compiled(struct test *test, const struct xrnpe_graph *graph,
				 const float *const *inputs, float *const *outputs)
{
	const struct xrnpe_layer_formats wide = { .weight = XRNPE_FORMAT_P16, .input = XRNPE_FORMAT_P16 };
	struct xrnpe_array arrays[MAX_TENSORS] = { 0 };
	const struct xrnpe_compile_options options = {
		.calibration = arrays, .formats = &wide, .format_count = 1,
	};
	struct xrnpe_model *model;
	enum outcome outcome;
	struct xrnpe_error error;
	int ret;

	for (unsigned int i = 0; i < xrnpe_graph_input_count(graph); i++) {
		const struct xrnpe_tensor_info *info = xrnpe_graph_input(graph, i);

		arrays[i] = (struct xrnpe_array){
			.rank = info->rank, .count = info->count, .data = (float *)inputs[i],
		};
		memcpy(arrays[i].dims, info->dims, sizeof(info->dims));
	}
	ret = xrnpe_compile(graph, &options, &model, &error);
	if (ret) {
		snprintf(test->reason, sizeof(test->reason), "compiled: %s", error.message);
		return strstr(error.message, "not finite") || strstr(error.message, "is always the same") ?
		       PASSED : FAILED;
	}
	compiled++;
	test->on_device = true;
	for (unsigned int i = 0; i < xrnpe_model_layer_count(model); i++)
		test->on_device &= xrnpe_model_layer(model, i)->place == XRNPE_PLACE_DEVICE;
	outcome = run_model(test, model, inputs, outputs, &error);
	xrnpe_model_free(model);
	return outcome;
}

static enum outcome run(struct test *test, const struct xrnpe_graph *graph)
{
	const float *inputs[MAX_TENSORS] = { NULL };
	float *outputs[MAX_TENSORS] = { NULL };
	enum outcome outcome = PASSED;
	struct xrnpe_error error;

	for (unsigned int i = 0; i < xrnpe_graph_input_count(graph); i++) {
		struct graph_tensor info;

		inputs[i] = as_floats(test, find_input(test, xrnpe_graph_input(graph, i)->name), &info);
		if (!inputs[i])
			outcome = FAILED;
	}
	for (unsigned int i = 0; i < xrnpe_graph_output_count(graph); i++)
		outputs[i] = malloc((xrnpe_graph_output(graph, i)->count + 1) * sizeof(float));
	if (outcome == PASSED && xrnpe_graph_run(graph, 1, inputs, outputs, NULL, NULL, &error)) {
		snprintf(test->reason, sizeof(test->reason), "%s", error.message);
		outcome = FAILED;
	}
	for (unsigned int i = 0; outcome == PASSED && i < xrnpe_graph_output_count(graph); i++) {
		if (!compare(test, xrnpe_graph_output(graph, i), outputs[i], test->outputs[i]))
			outcome = FAILED;
	}
	if (outcome == PASSED)
		outcome = run_compiled(test, graph, inputs, outputs);
	for (unsigned int i = 0; i < MAX_TENSORS; i++) {
		free((void *)inputs[i]);
		free(outputs[i]);
	}
	return outcome;
}

/* What is no tensor, or of a type that is not supported. */
static bool has_tensors(const struct test *test)
{
	const Onnx__GraphProto *graph = test->model->graph;
	enum graph_type type;

	if (test->input_count != graph->n_input || test->output_count != graph->n_output)
		return false;
	for (size_t i = 0; i < graph->n_input + graph->n_output; i++) {
		const Onnx__ValueInfoProto *info = i < graph->n_input ? graph->input[i] :
						   graph->output[i - graph->n_input];

		if (!info->type || info->type->value_case != ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE ||
		    !onnx_type(info->type->tensor_type->elem_type, &type))
			return false;
	}
	return true;
}

/*
 * First with all inputs fed, as they are; then with those that operators need as constants
 * (shapes, axes) in the model; then without any input.
 */
static enum outcome check(struct test *test)
{
	uint64_t ints = 0, all = 0;
	enum outcome outcome;
	struct xrnpe_graph *graph;
	int ret;

	if (!has_tensors(test)) {
		snprintf(test->reason, sizeof(test->reason), "inputs or outputs are not supported");
		return NOT_APPLICABLE;
	}
	for (unsigned int i = 0; i < test->input_count; i++) {
		all |= 1ull << i;
		ints |= (uint64_t)(test->inputs[i]->data_type == ONNX__TENSOR_PROTO__DATA_TYPE__INT64)
			<< i;
	}
	graph = import(test, all, &ret);
	if (ret)
		graph = import(test, all & ~ints, &ret);
	if (ret)
		graph = import(test, all & 1, &ret);
	if (ret)
		graph = import(test, 0, &ret);
	if (ret)
		return ret == -ENOTSUP ? NOT_APPLICABLE : FAILED;
	outcome = run(test, graph);
	xrnpe_graph_free(graph);
	return outcome;
}

/* ---- the table --------------------------------------------------------- */

static void count(const char *op, enum outcome outcome, bool on_device)
{
	unsigned int i = 0;

	while (i < row_count && strcmp(rows[i].op, op))
		i++;
	if (i == row_count)
		rows[row_count++].op = strdup(op);
	rows[i].count[outcome]++;
	rows[i].on_device += outcome == PASSED && on_device;
}

static int compare_rows(const void *a, const void *b)
{
	return strcmp(((const struct row *)a)->op, ((const struct row *)b)->op);
}

static void print_table(void)
{
	unsigned int total[OUTCOMES] = { 0 }, on_device = 0;

	qsort(rows, row_count, sizeof(*rows), compare_rows);
	printf("# %-24s %8s %10s %8s %16s\n", "operator", "passed", "on device", "failed",
	       "not applicable");
	for (unsigned int i = 0; i < row_count; i++) {
		printf("# %-24s %8u %10u %8u %16u\n", rows[i].op, rows[i].count[PASSED],
		       rows[i].on_device, rows[i].count[FAILED], rows[i].count[NOT_APPLICABLE]);
		for (unsigned int k = 0; k < OUTCOMES; k++)
			total[k] += rows[i].count[k];
		on_device += rows[i].on_device;
		free(rows[i].op);
	}
	printf("# %-24s %8u %10u %8u %16u; %u of them compiled\n", "all", total[PASSED], on_device,
	       total[FAILED], total[NOT_APPLICABLE], compiled);
}

/* ---- the folders -------------------------------------------------------- */

static void check_folder(const char *directory, const char *name, const char *file,
			 unsigned int *number)
{
	struct test test = { .directory = directory, .name = name, .file = file };
	enum outcome outcome = FAILED;
	const char *op = "(unreadable)";

	if (load(&test))
		op = test.model->graph->n_node ? test.model->graph->node[0]->op_type : "(empty)";
	else
		snprintf(test.reason, sizeof(test.reason), "cannot be read");
	/* What the table is about: the operators that there are. */
	if (!test.model || operator_find(op)) {
		outcome = test.model ? check(&test) : FAILED;
		count(op, outcome, test.on_device);
		printf("%s %u - %s%s%s\n", outcome == FAILED ? "not ok" : "ok", ++*number, name,
		       outcome == PASSED ? "" : outcome == FAILED ? ": " : " # SKIP ",
		       outcome == PASSED ? "" : test.reason);
	}
	unload(&test);
}

static int is_test(const struct dirent *entry)
{
	return !strncmp(entry->d_name, "test_", 5);
}

int main(int argc, char **argv)
{
	char file[] = "/tmp/conformance-XXXXXX";
	unsigned int number = 0;
	struct xrnpe_error error;
	int fd = mkstemp(file);

	if (fd < 0 || xrnpe_device_open("emu", &device, &error)) {
		fprintf(stderr, "%s\n", fd < 0 ? "/tmp: cannot make a file" : error.message);
		return 2;
	}
	close(fd);
	for (int i = 1; i < argc; i++) {
		struct dirent **entries;
		int count = scandir(argv[i], &entries, is_test, alphasort);

		if (count <= 0) {
			fprintf(stderr, "%s: holds no tests\n", argv[i]);
			return 2;
		}
		for (int k = 0; k < count; k++) {
			check_folder(argv[i], entries[k]->d_name, file, &number);
			free(entries[k]);
		}
		free(entries);
	}
	print_table();
	printf("1..%u\n", number);
	xrnpe_device_close(device);
	unlink(file);
	return 0;
}
