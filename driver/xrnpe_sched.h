/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
#ifndef __XRNPE_SCHED_H__
#define __XRNPE_SCHED_H__

struct list_head;
struct work_struct;
struct xrnpe_device;
struct xrnpe_queue;
struct xrnpe_ring;

int xrnpe_sched_probe(struct xrnpe_device *xdev);
void xrnpe_sched_lose(struct xrnpe_device *xdev);
void xrnpe_sched_stop(struct xrnpe_device *xdev);
void xrnpe_sched_start(struct xrnpe_device *xdev);
void xrnpe_sched_stop_checks(void *data);

void xrnpe_queue_open(struct xrnpe_queue *queue);
void xrnpe_queue_push(struct xrnpe_queue *queue, struct list_head *jobs);
void xrnpe_queue_look(struct xrnpe_queue *queue);
void xrnpe_queue_cancel(struct xrnpe_queue *queue);
void xrnpe_queue_work(struct work_struct *work);

void xrnpe_ring_feed(struct xrnpe_ring *ring);

#endif
