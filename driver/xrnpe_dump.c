// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * What the hardware and its rings hold, as text: for debugfs, and for the dump that is
 * kept when a job had to be aborted or the device to be reset. Documentation/accel/xrnpe.rst
 * describes the dump's format, which `xrnpe disasm` reads.
 */
#include <linux/bitfield.h>
#include <linux/devcoredump.h>
#include <linux/seq_buf.h>
#include <linux/string_choices.h>
#include <linux/utsname.h>
#include <linux/vmalloc.h>

#include <drm/drm_managed.h>
#include <drm/drm_print.h>

#include "xrnpe_drv.h"
#include "xrnpe_dump.h"
#include "xrnpe_gem.h"
#include "xrnpe_hw.h"
#include "xrnpe_job.h"
#include "xrnpe_queue.h"
#include "xrnpe_ring.h"

/* Registers and rings that are full take about this. */
#define XRNPE_DUMP_TEXT		SZ_32K
/* Of a job's commands so much is dumped. */
#define XRNPE_DUMP_COMMANDS	SZ_4M
/* Bytes in a line. */
#define XRNPE_DUMP_LINE		32

/** struct xrnpe_dump - one dump, allocated ahead: it is taken where nothing may be */
struct xrnpe_dump {
	/** @work: makes a devcoredump of it */
	struct work_struct work;
	/** @ctx: the culprit's file, with a reference; NULL: none was taken. With hw_lock */
	struct xrnpe_ctx *ctx;
	/** @sent: @work makes it, and then gives up @ctx. With hw_lock */
	bool sent;
	/** @result: the culprit's, with a reference */
	struct xrnpe_result *result;
	/** @commands: buffer of its commands, with a reference */
	struct drm_gem_object *commands;
	/** @offset: of the first */
	u64 offset;
	/** @count: how many */
	u32 count;
	/** @stride: bytes from one to the next */
	u32 stride;
	/** @text: registers, rings and the culprit */
	char text[XRNPE_DUMP_TEXT];
};

/* ---- as text ---- */

static void xrnpe_print_job(const struct xrnpe_job *job, struct drm_printer *p)
{
	drm_printf(p,
		   "  client %llu queue %u job %llu: seqno %u count %u commands %u at %#llx, stride %u, executed %llu us\n",
		   job->ctx->client, job->queue->id, job->result->fence.seqno, job->seqno,
		   job->count, job->cmd_count, job->cmds, job->cmd_stride,
		   job->run_ns / NSEC_PER_USEC);
	for (unsigned int i = 0; i < job->region_count; i++)
		drm_printf(p, "    region %u: %#llx size %#llx %s%s\n", i, job->regions[i].base,
			   job->regions[i].size,
			   job->regions[i].flags & XRNPE_REGION_READ ? "r" : "-",
			   job->regions[i].flags & XRNPE_REGION_WRITE ? "w" : "-");
}

/**
 * xrnpe_print_rings() - print what the rings hold
 * @xdev: the device, with hw_lock
 * @p: where to
 */
void xrnpe_print_rings(struct xrnpe_device *xdev, struct drm_printer *p)
{
	lockdep_assert_held(&xdev->hw_lock);
	drm_printf(p, "%s%s%s, %u jobs, %u resets\n", str_on_off(xdev->powered),
		   xdev->wedged ? ", wedged" : "", xdev->runaway ? ", cannot be stopped" : "",
		   xdev->inflight, xdev->info.resets);
	xrnpe_hw_account(xdev);
	for (unsigned int i = 0; i < xdev->info.rings; i++) {
		struct xrnpe_ring *ring = &xdev->ring[i];
		struct xrnpe_job *job;

		drm_printf(p, "%s: tail %u", ring->name, ring->tail);
		/* Registers of a device that has failed may not even answer. */
		if (xdev->powered && !xdev->wedged)
			drm_printf(p, " head %u state %u",
				   xrnpe_ring_read(ring, XRNPE_QUEUE_HEAD),
				   xrnpe_ring_read(ring, XRNPE_QUEUE_STATE));
		drm_puts(p, "\n");
		list_for_each_entry(job, &ring->jobs, node)
			xrnpe_print_job(job, p);
	}
}

#define XRNPE_REG(name)	{ #name, XRNPE_##name }

static void xrnpe_print_registers(struct xrnpe_device *xdev, struct drm_printer *p)
{
	static const struct {
		const char *name;
		u32 reg;
	} device_regs[] = {
		XRNPE_REG(VERSION), XRNPE_REG(CONFIG), XRNPE_REG(REVISION), XRNPE_REG(CTRL),
		XRNPE_REG(STATUS), XRNPE_REG(IRQ_STATUS), XRNPE_REG(IRQ_ENABLE),
		XRNPE_REG(STATUS_BASE_LO), XRNPE_REG(STATUS_BASE_HI),
		XRNPE_REG(BUS_ADDR_LO), XRNPE_REG(BUS_ADDR_HI),
		XRNPE_REG(TIMER_LO), XRNPE_REG(TIMER_HI),
	}, ring_regs[] = {
		XRNPE_REG(QUEUE_BASE_LO), XRNPE_REG(QUEUE_BASE_HI), XRNPE_REG(QUEUE_SIZE),
		XRNPE_REG(QUEUE_HEAD), XRNPE_REG(QUEUE_TAIL), XRNPE_REG(QUEUE_CTRL),
		XRNPE_REG(QUEUE_STATE),
		XRNPE_REG(QUEUE_EXECUTED_LO), XRNPE_REG(QUEUE_EXECUTED_HI),
	};

	for (unsigned int i = 0; i < ARRAY_SIZE(device_regs); i++)
		drm_printf(p, "  %s %#x\n", device_regs[i].name,
			   xrnpe_read(xdev, device_regs[i].reg));
	for (unsigned int i = 0; i < xdev->info.rings; i++)
		for (unsigned int j = 0; j < ARRAY_SIZE(ring_regs); j++)
			drm_printf(p, "  %s(%u) %#x\n", ring_regs[j].name, i,
				   xrnpe_ring_read(&xdev->ring[i], ring_regs[j].reg));
}

static void xrnpe_print_status_page(struct xrnpe_device *xdev, struct drm_printer *p)
{
	for (unsigned int i = 0; i < xdev->info.rings; i++) {
		const struct xrnpe_queue_status *page = &xdev->shared->status[i];

		drm_printf(p,
			   "  ring%u: seqno %u status %#x, fault of seqno %u: kind %u command %u operand %u region %u offset %#llx\n",
			   i, page->seqno, page->status, page->fault_seqno, page->fault.kind,
			   page->fault.cmd, page->fault.operand, page->fault.region,
			   page->fault.offset);
	}
}

/* ---- taken, while the hardware is as it is ---- */

static void xrnpe_printfn_seq_buf(struct drm_printer *p, struct va_format *vaf)
{
	seq_buf_printf(p->arg, "%pV", vaf);
}

/* Who is it, if nobody knows? What the device executed last, or else the first job. */
static struct xrnpe_job *xrnpe_hw_suspect(struct xrnpe_device *xdev)
{
	u32 ring = FIELD_GET(XRNPE_STATUS_QUEUE_MASK, xrnpe_read(xdev, XRNPE_STATUS));
	struct xrnpe_job *job = NULL;

	if (ring < xdev->info.rings)
		job = xrnpe_ring_head(&xdev->ring[ring]);
	for (unsigned int i = 0; !job && i < xdev->info.rings; i++)
		job = xrnpe_ring_head(&xdev->ring[i]);
	return job;
}

/**
 * xrnpe_dump_take() - note what the device and its rings hold
 * @xdev: the device, powered, with hw_lock
 * @job: which job it is about, in its ring; NULL: not known
 * @why: what happened
 *
 * It is kept until xrnpe_dump_send() has passed it on; others meanwhile are not taken, nor
 * is one of a device without jobs.
 *
 * Context: fences wait for it. Allocates nothing.
 */
void xrnpe_dump_take(struct xrnpe_device *xdev, struct xrnpe_job *job, const char *why)
{
	struct xrnpe_dump *dump = xdev->dump;
	struct seq_buf s;
	struct drm_printer p = { .printfn = xrnpe_printfn_seq_buf, .arg = &s };

	lockdep_assert_held(&xdev->hw_lock);
	job = job ?: xrnpe_hw_suspect(xdev);
	if (dump->ctx || !job)
		return;

	seq_buf_init(&s, dump->text, sizeof(dump->text));
	drm_printf(&p, "XR-NPE dump 1\n%s\ndevice %s, kernel %s, time %llu ns\nregisters:\n", why,
		   dev_name(xdev->drm.dev), init_utsname()->release, ktime_get_ns());
	xrnpe_print_registers(xdev, &p);
	drm_puts(&p, "status page:\n");
	xrnpe_print_status_page(xdev, &p);
	drm_puts(&p, "rings:\n");
	xrnpe_print_rings(xdev, &p);
	drm_puts(&p, "culprit:\n");
	xrnpe_print_job(job, &p);
	/* Should it have been too long, so that it ends all the same. */
	seq_buf_str(&s);

	dma_fence_get(&job->result->fence);
	dump->result = job->result;
	/* The first of its buffers is that of its commands. */
	drm_gem_object_get(job->bos[0]);
	dump->commands = job->bos[0];
	dump->offset = job->cmds - to_xrnpe_bo(dump->commands)->dma_addr;
	dump->count = job->cmd_count;
	dump->stride = job->cmd_stride;
	kref_get(&job->ctx->refcount);
	dump->ctx = job->ctx;
}

/**
 * xrnpe_dump_send() - make a devcoredump of what xrnpe_dump_take() noted, if anything
 * @xdev: the device; the job has ended if it does because of that
 */
void xrnpe_dump_send(struct xrnpe_device *xdev)
{
	guard(xrnpe_hw)(xdev);
	/* Not once more while it runs, which ends with giving up @ctx and perhaps the device. */
	if (!xdev->dump->ctx || xdev->dump->sent)
		return;
	xdev->dump->sent = true;
	queue_work(xrnpe_wq, &xdev->dump->work);
}

/* ---- passed on ---- */

/* Characters for so many bytes: two each, and two spaces and an end a line. */
static size_t xrnpe_dump_chars(size_t bytes)
{
	return bytes * 2 + DIV_ROUND_UP(bytes, XRNPE_DUMP_LINE) * 3;
}

static void xrnpe_dump_bytes(struct seq_buf *s, const void *data, size_t size)
{
	for (size_t i = 0; i < size; i += XRNPE_DUMP_LINE)
		seq_buf_printf(s, "  %*phN\n", (int)min(size - i, XRNPE_DUMP_LINE), data + i);
}

/* Bytes of commands that are dumped: whole ones. */
static size_t xrnpe_dump_command_bytes(const struct xrnpe_dump *dump, u32 cmd_bytes)
{
	u32 count = min(dump->count, XRNPE_DUMP_COMMANDS / dump->stride);

	/* Imported ones are another driver's, the others nobody shall see. */
	if (!to_xrnpe_bo(dump->commands)->vaddr || to_xrnpe_bo(dump->commands)->no_mmap)
		return 0;
	return (count - 1) * dump->stride + cmd_bytes;
}

static void xrnpe_dump_pass_on(struct xrnpe_device *xdev, const struct xrnpe_dump *dump)
{
	size_t bytes = xrnpe_dump_command_bytes(dump, xdev->info.cmd_bytes);
	struct xrnpe_job_record record = {};
	struct seq_buf s;
	size_t size;
	char *data;

	size = strlen(dump->text) + SZ_1K + xrnpe_dump_chars(sizeof(record)) +
	       xrnpe_dump_chars(bytes);
	data = vmalloc(size);
	if (!data)
		return;
	scoped_guard(xrnpe_hw, xdev)
		if (dma_fence_is_signaled(&dump->result->fence))
			record = dump->result->record;

	seq_buf_init(&s, data, size);
	seq_buf_printf(&s, "%srecord:\n", dump->text);
	xrnpe_dump_bytes(&s, &record, sizeof(record));
	seq_buf_printf(&s, "commands: %zu bytes, stride %u\n", bytes, dump->stride);
	xrnpe_dump_bytes(&s, to_xrnpe_bo(dump->commands)->vaddr + dump->offset, bytes);
	dev_coredumpv(xdev->drm.dev, data, seq_buf_used(&s), GFP_KERNEL);
}

static void xrnpe_dump_work(struct work_struct *work)
{
	struct xrnpe_dump *dump = container_of(work, struct xrnpe_dump, work);
	struct xrnpe_ctx *ctx = dump->ctx;

	xrnpe_dump_pass_on(ctx->xdev, dump);
	drm_gem_object_put(dump->commands);
	xrnpe_result_put(dump->result);
	scoped_guard(xrnpe_hw, ctx->xdev) {
		dump->ctx = NULL;
		dump->sent = false;
	}
	/* It kept the device, and @dump with it. */
	xrnpe_ctx_put(ctx);
}

/**
 * xrnpe_dump_probe() - make room for a dump
 * @xdev: the device
 *
 * Return: 0 or -ENOMEM.
 */
int xrnpe_dump_probe(struct xrnpe_device *xdev)
{
	xdev->dump = drmm_kzalloc(&xdev->drm, sizeof(*xdev->dump), GFP_KERNEL);
	if (!xdev->dump)
		return -ENOMEM;
	INIT_WORK(&xdev->dump->work, xrnpe_dump_work);
	return 0;
}
