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

#include "environment.h"
#include "prepare.h"

/* Below this much work (products; tasks of passes) waking threads costs more. */
#define WORTH_WAKING 32768
#define WORTH_WAKING_TASKS 4
#define YIELDS 1000	/* some 0.3 ms before a thread sleeps, as being woken takes so long */

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
	const struct xrnpe_prepared *prepared;		/* or NULL */
	void *const *memory;

	const struct xrnpe_tasks *product;		/* MATMUL and CONV2D */
	const struct xrnpe_pass *pass;			/* the others */
};

struct buffer {
	void *memory;			/* aligned to 64 */
	size_t size;
};

struct xrnpe_datapath {
	struct xrnpe_planner planner;
	uint64_t cycles;		/* that TIMESTAMP writes */
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

	/* That of who made the thread is inherited. */
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

	for (unsigned int i = 0; i < datapath->planner.threads && !ret; i++)
		ret = reserve(&datapath->scratch[i], size);
	return ret;
}

size_t xrnpe_datapath_scratch(const struct xrnpe_datapath *datapath)
{
	size_t size = datapath->shared.size;

	for (unsigned int i = 0; i < datapath->planner.threads; i++)
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
	return datapath->planner.kernel->name;
}

const struct xrnpe_codec *xrnpe_datapath_codec(const struct xrnpe_datapath *datapath)
{
	return datapath->planner.codec;
}

const struct xrnpe_planner *xrnpe_datapath_planner(const struct xrnpe_datapath *datapath)
{
	return &datapath->planner;
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
	datapath->planner.kernel = chosen;
	/* Plain is for comparisons if it is asked for, else there is no kernel but it. */
	datapath->planner.codec = kernel && chosen->codec ? chosen->codec : xrnpe_fastest_codec();
	datapath->planner.threads = threads ? threads : cpu_count();
	pthread_mutex_init(&datapath->lock, NULL);
	pthread_cond_init(&datapath->start, NULL);
	pthread_cond_init(&datapath->done, NULL);
	for (unsigned int format = 0; format < XRNPE_FORMAT_P16; format++) {
		for (uint32_t code = 0; code < 1u << xrnpe_format_bits(format); code++) {
			int64_t grid = xrnpe_grid(format, code);

			datapath->planner.narrow[format][code] =
				grid == XRNPE_GRID_NAR ? XRNPE_NARROW_NAR : (int16_t)grid;
		}
	}
	datapath->scratch = calloc(datapath->planner.threads, sizeof(*datapath->scratch));
	datapath->workers = calloc(datapath->planner.threads, sizeof(*datapath->workers));
	if (!datapath->scratch || !datapath->workers) {
		xrnpe_datapath_free(datapath);
		errno = ENOMEM;
		return NULL;
	}
	while (datapath->started + 1 < datapath->planner.threads) {
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
	for (unsigned int i = 0; datapath->scratch && i < datapath->planner.threads; i++)
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

/* Whether the kernel that a command was prepared for is one for its inputs. */
static bool still_suits(const struct xrnpe_kernel *kernel, const struct xrnpe_product *product)
{
	return !kernel->looks || kernel->suits(product);
}

static int run_product(struct xrnpe_datapath *datapath, struct job *job)
{
	const struct xrnpe_cmd *cmd = job->cmd;
	const struct xrnpe_operand *o = cmd->operand;
	struct xrnpe_product product = xrnpe_product_of(&datapath->planner, cmd, job->memory, job->cancel);
	uint32_t batch = cmd->opcode == XRNPE_OP_MATMUL ? cmd->matmul.batch : 1;
	bool alone = xrnpe_cmd_macs(cmd) / batch < WORTH_WAKING;
	struct xrnpe_tasks tasks;

	if (job->prepared && still_suits(job->prepared->tasks.kernel, &product))
		tasks = job->prepared->tasks;
	else
		xrnpe_plan_product(&datapath->planner, &product, &tasks);
	tasks.product = &product;
	if (reserve_scratch(datapath, tasks.scratch) || reserve(&datapath->shared, tasks.shared))
		return -ENOMEM;
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
	struct xrnpe_pass pass;

	if (job->prepared)
		pass = job->prepared->pass;
	else
		xrnpe_plan_pass(&datapath->planner, job->cmd, job->memory, job->cancel, &pass);
	pass.memory = job->memory;
	pass.cancel = job->cancel;
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

void xrnpe_datapath_set_cycles(struct xrnpe_datapath *datapath, uint64_t cycles)
{
	datapath->cycles = cycles;
}

static int run_command(struct xrnpe_datapath *datapath, struct job *job, uint32_t *status)
{
	environment before = set_environment();
	int ret = 0;

	switch (job->cmd->opcode) {
	case XRNPE_OP_MATMUL:
	case XRNPE_OP_CONV2D:
		ret = run_product(datapath, job);
		break;
	case XRNPE_OP_BARRIER:
		/* Commands are done one after the other. */
		break;
	case XRNPE_OP_TIMESTAMP:
		put_cycles(datapath, job->memory[XRNPE_OPERAND_OFM]);
		break;
	default:
		run_pass(datapath, job);
		break;
	}
	restore_environment(before);
	*status |= job->status;
	if (!ret && xrnpe_cancelled(job->cancel))
		ret = -ECANCELED;
	return ret;
}

int xrnpe_datapath_run(struct xrnpe_datapath *datapath, const struct xrnpe_cmd *cmd,
		       uint32_t index, void *const memory[XRNPE_OPERANDS],
		       const volatile bool *cancel, uint32_t *status,
		       struct xrnpe_fault *fault)
{
	struct job job = { .cmd = cmd, .memory = memory, .cancel = cancel };
	int64_t illegal = xrnpe_illegal_scale(cmd, memory[XRNPE_OPERAND_SCALE], cancel);

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
	return run_command(datapath, &job, status);
}

int xrnpe_datapath_run_prepared(struct xrnpe_datapath *datapath, const struct xrnpe_prepared *prepared,
				void *const memory[XRNPE_OPERANDS], const volatile bool *cancel,
				uint32_t *status)
{
	struct job job = { .cmd = &prepared->cmd, .prepared = prepared, .memory = memory, .cancel = cancel };

	return run_command(datapath, &job, status);
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
