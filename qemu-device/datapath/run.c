// SPDX-License-Identifier: MIT
/* Contexts, worker threads, and the execution of commands. */
#include <errno.h>
#include <fenv.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#ifdef __x86_64__
#include <immintrin.h>
#endif

#include "kernels/kernel.h"

/* Below this much work (products; tasks of passes) waking threads costs more. */
#define WORTH_WAKING 32768
#define WORTH_WAKING_TASKS 4
#define YIELDS 1000	/* some 0.3 ms before a thread sleeps, as being woken takes so long */
#define POLL_SCALES 4096	/* between looks at whether the command is cancelled */

static const struct xrnpe_kernel *const kernels[] = {
	&xrnpe_kernel_plain,
#ifdef __x86_64__
	&xrnpe_kernel_avx2,
	&xrnpe_kernel_avx512,
	&xrnpe_kernel_amx,
#endif
#ifdef __AARCH64EL__
	&xrnpe_kernel_neon,
	&xrnpe_kernel_neon_dotprod,
#endif
};

#define KERNELS (sizeof(kernels) / sizeof(kernels[0]))

/* A command cut into tasks, which start in order on any thread. */
struct job {
	void (*task)(const struct job *job, uint64_t index, void *scratch, uint32_t *status);
	uint64_t tasks;
	_Atomic uint64_t next;
	_Atomic uint32_t status;
	const volatile bool *cancel;
	const struct xrnpe_cmd *cmd;
	void *const *memory;

	const struct xrnpe_tasks *product;		/* MATMUL and CONV2D */
	const struct xrnpe_pass *pass;			/* the others */
};

struct buffer {
	void *memory;			/* aligned to 64 */
	size_t size;
};

struct xrnpe_datapath {
	const struct xrnpe_kernel *kernel;
	const struct xrnpe_codec *codec;
	int16_t narrow[XRNPE_FORMAT_P16][256];	/* grid values by code */

	uint64_t cycles;		/* that TIMESTAMP writes */
	unsigned int threads;
	struct buffer *scratch;		/* by thread; the caller is 0 */
	struct buffer shared;

	pthread_mutex_t lock;
	pthread_cond_t start, done;
	unsigned int started;		/* workers that exist */
	_Atomic unsigned int busy;	/* that have not finished the job */
	_Atomic uint64_t generation;	/* jobs so far */
	bool quit;
	struct job *job;
	struct worker {
		struct xrnpe_datapath *datapath;
		unsigned int index;
		pthread_t thread;
	} *workers;
};

/* ---- threads ---------------------------------------------------------- */

static void work(struct job *job, void *scratch)
{
	uint32_t status = 0;

	while (!xrnpe_cancelled(job->cancel)) {
		uint64_t index = atomic_fetch_add_explicit(&job->next, 1, memory_order_relaxed);

		if (index >= job->tasks)
			break;
		job->task(job, index, scratch, &status);
	}
	atomic_fetch_or_explicit(&job->status, status, memory_order_relaxed);
}

static void *worker_main(void *argument)
{
	struct worker *worker = argument;
	struct xrnpe_datapath *datapath = worker->datapath;
	uint64_t seen = 0;

	/* That of who made the thread is inherited, see xrnpe_datapath_run(). */
	fesetenv(FE_DFL_ENV);
	for (;;) {
		struct job *job;

		for (int i = 0; i < YIELDS && datapath->generation == seen; i++)
			sched_yield();
		pthread_mutex_lock(&datapath->lock);
		while (datapath->generation == seen && !datapath->quit)
			pthread_cond_wait(&datapath->start, &datapath->lock);
		if (datapath->quit)
			break;
		seen = datapath->generation;
		job = datapath->job;
		pthread_mutex_unlock(&datapath->lock);
		work(job, datapath->scratch[worker->index].memory);
		pthread_mutex_lock(&datapath->lock);
		if (!--datapath->busy)
			pthread_cond_signal(&datapath->done);
		pthread_mutex_unlock(&datapath->lock);
	}
	pthread_mutex_unlock(&datapath->lock);
	return NULL;
}

static void run_job(struct xrnpe_datapath *datapath, struct job *job, bool alone)
{
	if (alone || job->tasks < 2 || !datapath->started) {
		work(job, datapath->scratch[0].memory);
		return;
	}
	pthread_mutex_lock(&datapath->lock);
	datapath->job = job;
	datapath->busy = datapath->started;
	datapath->generation++;
	pthread_cond_broadcast(&datapath->start);
	pthread_mutex_unlock(&datapath->lock);
	work(job, datapath->scratch[0].memory);
	for (int i = 0; i < YIELDS && datapath->busy; i++)
		sched_yield();
	pthread_mutex_lock(&datapath->lock);
	while (datapath->busy)
		pthread_cond_wait(&datapath->done, &datapath->lock);
	pthread_mutex_unlock(&datapath->lock);
}

static int reserve(struct buffer *buffer, size_t size)
{
	if (size <= buffer->size)
		return 0;
	free(buffer->memory);
	size = (size + 63) / 64 * 64;
	buffer->memory = aligned_alloc(64, size);
	buffer->size = buffer->memory ? size : 0;
	return buffer->memory ? 0 : -ENOMEM;
}

static int reserve_scratch(struct xrnpe_datapath *datapath, size_t size)
{
	int ret = 0;

	for (unsigned int i = 0; i < datapath->threads && !ret; i++)
		ret = reserve(&datapath->scratch[i], size);
	return ret;
}

size_t xrnpe_datapath_scratch(const struct xrnpe_datapath *datapath)
{
	size_t size = datapath->shared.size;

	for (unsigned int i = 0; i < datapath->threads; i++)
		size += datapath->scratch[i].size;
	return size;
}

/* ---- contexts --------------------------------------------------------- */

const char *const *xrnpe_datapath_kernels(void)
{
	static _Thread_local const char *names[KERNELS + 1];
	size_t count = 0;

	for (size_t i = 0; i < KERNELS; i++) {
		if (kernels[i]->supported())
			names[count++] = kernels[i]->name;
	}
	names[count] = NULL;
	return names;
}

const char *xrnpe_datapath_kernel(const struct xrnpe_datapath *datapath)
{
	return datapath->kernel->name;
}

const struct xrnpe_codec *xrnpe_datapath_codec(const struct xrnpe_datapath *datapath)
{
	return datapath->codec;
}

static int choose_kernel(const char *name, const struct xrnpe_kernel **kernel)
{
	int error = EINVAL;

	for (size_t i = 0; i < KERNELS; i++) {
		if (name && strcmp(name, kernels[i]->name))
			continue;
		if (!kernels[i]->supported()) {
			error = ENOTSUP;
			continue;
		}
		*kernel = kernels[i];
		error = 0;
	}
	/* Without a name the last one that runs wins, and plain always runs. */
	return name ? error : 0;
}

static unsigned int cpu_count(void)
{
	long count = sysconf(_SC_NPROCESSORS_ONLN);

	return count > 0 ? (unsigned int)count : 1;
}

struct xrnpe_datapath *xrnpe_datapath_new(unsigned int threads, const char *kernel)
{
	const struct xrnpe_kernel *chosen = NULL;
	struct xrnpe_datapath *datapath;
	int error = choose_kernel(kernel, &chosen);

	if (error) {
		errno = error;
		return NULL;
	}
	datapath = calloc(1, sizeof(*datapath));
	if (!datapath)
		return NULL;
	datapath->kernel = chosen;
	/* Plain is for comparisons if it is asked for, else there is no kernel but it. */
	datapath->codec = kernel && chosen->codec ? chosen->codec : xrnpe_fastest_codec();
	datapath->threads = threads ? threads : cpu_count();
	pthread_mutex_init(&datapath->lock, NULL);
	pthread_cond_init(&datapath->start, NULL);
	pthread_cond_init(&datapath->done, NULL);
	for (unsigned int format = 0; format < XRNPE_FORMAT_P16; format++) {
		for (uint32_t code = 0; code < 1u << xrnpe_format_bits(format); code++) {
			int64_t grid = xrnpe_grid(format, code);

			datapath->narrow[format][code] =
				grid == XRNPE_GRID_NAR ? XRNPE_NARROW_NAR : (int16_t)grid;
		}
	}
	datapath->scratch = calloc(datapath->threads, sizeof(*datapath->scratch));
	datapath->workers = calloc(datapath->threads, sizeof(*datapath->workers));
	if (!datapath->scratch || !datapath->workers) {
		xrnpe_datapath_free(datapath);
		errno = ENOMEM;
		return NULL;
	}
	while (datapath->started + 1 < datapath->threads) {
		struct worker *worker = &datapath->workers[datapath->started];

		worker->datapath = datapath;
		worker->index = datapath->started + 1;
		error = pthread_create(&worker->thread, NULL, worker_main, worker);
		if (error) {
			xrnpe_datapath_free(datapath);
			errno = error;
			return NULL;
		}
		datapath->started++;
	}
	return datapath;
}

void xrnpe_datapath_free(struct xrnpe_datapath *datapath)
{
	if (!datapath)
		return;
	pthread_mutex_lock(&datapath->lock);
	datapath->quit = true;
	pthread_cond_broadcast(&datapath->start);
	pthread_mutex_unlock(&datapath->lock);
	for (unsigned int i = 0; i < datapath->started; i++)
		pthread_join(datapath->workers[i].thread, NULL);
	for (unsigned int i = 0; datapath->scratch && i < datapath->threads; i++)
		free(datapath->scratch[i].memory);
	free(datapath->scratch);
	free(datapath->shared.memory);
	free(datapath->workers);
	pthread_cond_destroy(&datapath->done);
	pthread_cond_destroy(&datapath->start);
	pthread_mutex_destroy(&datapath->lock);
	free(datapath);
}

/* ---- MATMUL and CONV2D ------------------------------------------------ */

static void product_task(const struct job *job, uint64_t index, void *scratch, uint32_t *status)
{
	xrnpe_tasks_run(job->product, index, scratch, status);
}

static const struct xrnpe_kernel *kernel_for(const struct xrnpe_kernel *kernel,
					     const struct xrnpe_product *product)
{
	for (const struct xrnpe_kernel *const *other = kernel->preferred; other && *other; other++) {
		if ((*other)->suits(product))
			return *other;
	}
	return kernel->suits && !kernel->suits(product) ? kernel->otherwise : kernel;
}

static struct xrnpe_factor factor_of(const struct xrnpe_datapath *datapath, const struct job *job, int operand)
{
	const struct xrnpe_operand *o = &job->cmd->operand[operand];

	return (struct xrnpe_factor){
		.memory = job->memory[operand],
		.row_stride = o->row_stride,
		.format = o->format,
		.narrow = o->format < XRNPE_FORMAT_P16 ? datapath->narrow[o->format] : NULL,
	};
}

static int run_product(struct xrnpe_datapath *datapath, struct job *job)
{
	const struct xrnpe_cmd *cmd = job->cmd;
	const struct xrnpe_operand *o = cmd->operand;
	struct xrnpe_product product = {
		.cmd = cmd,
		.ifm = factor_of(datapath, job, XRNPE_OPERAND_IFM),
		.weight = factor_of(datapath, job, XRNPE_OPERAND_WEIGHT),
		.scale = job->memory[XRNPE_OPERAND_SCALE],
		.residual = cmd->flags & XRNPE_CMD_RESIDUAL ? job->memory[XRNPE_OPERAND_IFM2] : NULL,
		.ofm = job->memory[XRNPE_OPERAND_OFM],
		.out = o[XRNPE_OPERAND_OFM].format,
		.cancel = job->cancel,
	};
	struct xrnpe_tasks tasks = { .product = &product };
	uint32_t batch = 1;
	bool alone;

	if (cmd->opcode == XRNPE_OP_MATMUL) {
		product.positions = cmd->matmul.m;
		product.channels = product.group_channels = cmd->matmul.n;
		product.k = cmd->matmul.k;
		batch = cmd->matmul.batch;
	} else {
		const struct xrnpe_dims_image *d = &cmd->image;

		product.positions = (uint64_t)d->out_h * d->out_w;
		product.channels = d->out_c;
		product.group_channels = d->out_c / d->groups;
		product.k = (size_t)d->kernel_h * d->kernel_w * (d->in_c / d->groups);
	}
	tasks.kernel = kernel_for(datapath->kernel, &product);
	xrnpe_tasks_plan(&tasks, datapath->threads);
	if (reserve_scratch(datapath, tasks.scratch) || reserve(&datapath->shared, tasks.shared))
		return -ENOMEM;
	alone = xrnpe_cmd_macs(cmd) / batch < WORTH_WAKING;
	job->task = product_task;
	job->product = &tasks;
	job->tasks = tasks.count;
	for (; batch && !xrnpe_cancelled(job->cancel); batch--) {
		xrnpe_tasks_start(&tasks, datapath->shared.memory);
		job->next = 0;
		run_job(datapath, job, alone);
		product.ifm.memory += o[XRNPE_OPERAND_IFM].batch_stride;
		product.weight.memory += o[XRNPE_OPERAND_WEIGHT].batch_stride;
		product.ofm += o[XRNPE_OPERAND_OFM].batch_stride;
		if (product.residual)
			product.residual += o[XRNPE_OPERAND_IFM2].batch_stride;
	}
	return 0;
}

/* ---- the others --------------------------------------------------------- */

static void pass_task(const struct job *job, uint64_t index, void *scratch, uint32_t *status)
{
	xrnpe_pass_run(job->pass, index, status);
}

static void run_pass(struct xrnpe_datapath *datapath, struct job *job)
{
	struct xrnpe_pass pass = {
		.cmd = job->cmd, .memory = job->memory, .cancel = job->cancel, .codec = datapath->codec,
	};

	xrnpe_pass_plan(&pass);
	job->task = pass_task;
	job->pass = &pass;
	job->tasks = pass.tasks;
	run_job(datapath, job, job->tasks < WORTH_WAKING_TASKS);
}

static void put_cycles(const struct xrnpe_datapath *datapath, uint8_t *word)
{
	for (unsigned int i = 0; i < sizeof(datapath->cycles); i++)
		word[i] = (uint8_t)(datapath->cycles >> 8 * i);
}

/* ---- commands --------------------------------------------------------- */

/* The first scale, bias or slope that is not allowed, as an offset from the first; or -1. */
static int64_t illegal_scale(const struct job *job, struct xrnpe_scales_shape shape)
{
	const uint8_t *record = job->memory[XRNPE_OPERAND_SCALE];
	uint8_t opcode = job->cmd->opcode;
	bool no_bias = opcode == XRNPE_OP_ADD || opcode == XRNPE_OP_MAX || opcode == XRNPE_OP_MIN;

	for (uint64_t i = 0; i < shape.records; i++) {
		for (size_t j = 0; j < shape.words; j++) {
			uint32_t word = xrnpe_word(record + i * shape.stride, j);

			if ((word & 0x7f800000) == 0x7f800000 || (no_bias && j == 1 && word << 1))
				return (int64_t)(i * shape.stride + j * sizeof(word));
		}
		if (!(i % POLL_SCALES) && xrnpe_cancelled(job->cancel))
			break;
	}
	return -1;
}

void xrnpe_datapath_set_cycles(struct xrnpe_datapath *datapath, uint64_t cycles)
{
	datapath->cycles = cycles;
}

/*
 * The default floating-point environment, and back. On x86-64 only SSE computes, and what <fenv.h>
 * does beside takes as long as small commands do.
 */
#ifdef __x86_64__
typedef unsigned int environment;

static environment set_environment(void)
{
	environment before = _mm_getcsr();

	_mm_setcsr(_MM_MASK_MASK);
	return before;
}

static void restore_environment(environment before)
{
	_mm_setcsr(before);
}
#else
typedef fenv_t environment;

static environment set_environment(void)
{
	environment before;

	fegetenv(&before);
	fesetenv(FE_DFL_ENV);
	return before;
}

static void restore_environment(environment before)
{
	fesetenv(&before);
}
#endif

int xrnpe_datapath_run(struct xrnpe_datapath *datapath, const struct xrnpe_cmd *cmd,
		       uint32_t index, void *const memory[XRNPE_OPERANDS],
		       const volatile bool *cancel, uint32_t *status,
		       struct xrnpe_fault *fault)
{
	struct job job = { .cmd = cmd, .memory = memory, .cancel = cancel };
	int64_t illegal = illegal_scale(&job, xrnpe_cmd_scales(cmd));
	environment before;
	int ret = 0;

	if (illegal >= 0) {
		const struct xrnpe_operand *o = &cmd->operand[XRNPE_OPERAND_SCALE];

		*fault = (struct xrnpe_fault){
			.kind = XRNPE_FAULT_ILLEGAL_SCALE,
			.cmd = index,
			.operand = XRNPE_OPERAND_SCALE,
			.region = o->region,
			.offset = o->offset + (uint64_t)illegal,
		};
		return -EFAULT;
	}
	/* Kernels and their plans count on subnormals and rounding to nearest, the caller may not. */
	before = set_environment();
	switch (cmd->opcode) {
	case XRNPE_OP_MATMUL:
	case XRNPE_OP_CONV2D:
		ret = run_product(datapath, &job);
		break;
	case XRNPE_OP_BARRIER:
		/* Commands are done one after the other. */
		break;
	case XRNPE_OP_TIMESTAMP:
		put_cycles(datapath, memory[XRNPE_OPERAND_OFM]);
		break;
	default:
		run_pass(datapath, &job);
		break;
	}
	restore_environment(before);
	*status |= job.status;
	if (!ret && xrnpe_cancelled(cancel))
		ret = -ECANCELED;
	return ret;
}

/* ---- a single sum ----------------------------------------------------- */

uint32_t xrnpe_dot(enum xrnpe_format a_format, const void *a, enum xrnpe_format b_format, const void *b,
		   size_t count, enum xrnpe_format out, uint32_t *status)
{
	int unit = xrnpe_grid_unit(a_format) + xrnpe_grid_unit(b_format);
	struct xrnpe_exact exact = { 0 };
	bool negative = false;
	xrnpe_u128 sum = 0;

	for (size_t i = 0; i < count; i++) {
		int64_t x = xrnpe_grid(a_format, xrnpe_load(a_format, a, i));
		int64_t y = xrnpe_grid(b_format, xrnpe_load(b_format, b, i));

		if (x == XRNPE_GRID_NAR || y == XRNPE_GRID_NAR)
			return xrnpe_round(out, (struct xrnpe_real){ .kind = XRNPE_NAN }, status);
		negative = (x < 0) != (y < 0);
		sum += (xrnpe_u128)((xrnpe_i128)x * y);
	}
	xrnpe_exact_add(&exact, xrnpe_term_from_sum(sum, negative, unit), xrnpe_term_from_f32(XRNPE_F32_ONE));
	return xrnpe_round(out, xrnpe_exact_cut(&exact), status);
}
