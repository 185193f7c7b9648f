	.file	"<string>"
	.section	.ltext,"axl",@progbits
	.globl	_ZN7serving13margin_kernel7_margin12_3clocals_3e6marginB2v1B52c8tJTIeFIjxB2IKSgI4CrvQClUYkACQB1EiFSRRB9GgCAA_3d_3dE8int64_2a
	.p2align	4
	.type	_ZN7serving13margin_kernel7_margin12_3clocals_3e6marginB2v1B52c8tJTIeFIjxB2IKSgI4CrvQClUYkACQB1EiFSRRB9GgCAA_3d_3dE8int64_2a,@function
_ZN7serving13margin_kernel7_margin12_3clocals_3e6marginB2v1B52c8tJTIeFIjxB2IKSgI4CrvQClUYkACQB1EiFSRRB9GgCAA_3d_3dE8int64_2a:
	pushq	%rbp
	pushq	%r15
	pushq	%r14
	pushq	%r13
	pushq	%r12
	pushq	%rbx
	subq	$152, %rsp
	movq	48(%rdx), %r11
	movq	56(%rdx), %r10
	movq	8(%rdx), %rax
	movq	16(%rdx), %rcx
	movq	24(%rdx), %rbx
	movq	104(%rdx), %r12
	movq	128(%rdx), %rbp
	movq	136(%rdx), %r14
	movq	(%rdx), %r8
	movq	40(%rdx), %r9
	movq	%rsi, (%rsp)
	movq	%rdi, 16(%rsp)
	movq	%r11, 48(%rsp)
	movq	%r10, 24(%rsp)
	movq	64(%rdx), %r11
	movq	72(%rdx), %r10
	movq	%rax, 8(%rsp)
	movq	96(%rdx), %rax
	movq	%rcx, 40(%rsp)
	movq	32(%rdx), %rcx
	movq	%r11, 32(%rsp)
	movq	%r10, 80(%rsp)
	movq	80(%rdx), %r11
	movq	88(%rdx), %r10
	movq	%rax, 56(%rsp)
	movq	%r11, 72(%rsp)
	movq	%r10, 64(%rsp)
	movq	112(%rdx), %r10
	movq	120(%rdx), %r11
	subq	$8, %rsp
	movabsq	$_ZN7serving13margin_kernel7_searchB2v2B38c8tJTIeFIjxB2IKSgI4CrvQClQZ6FczSBAA_3dE10float64_2a8int64_2ax10float64_2a8int64_2a, %rax
	leaq	152(%rsp), %rdi
	leaq	144(%rsp), %rsi
	movq	%r10, %r13
	movq	%r11, %r15
	movq	%r10, %rdx
	pushq	%r11
	callq	*%rax
	addq	$16, %rsp
	cmpl	$-2, %eax
	je	.LBB0_2
	testl	%eax, %eax
	jne	.LBB0_9
.LBB0_2:
	movq	48(%rsp), %rdx
	movq	8(%rsp), %rcx
	movabsq	$_ZN7serving13margin_kernel13_rank_columnsB2v3B38c8tJTIeFIjxB2IKSgI4CrvQClQZ6FczSBAA_3dE8int64_2ax8int64_2a8int64_2a, %rax
	leaq	128(%rsp), %rdi
	leaq	120(%rsp), %rsi
	movq	%r15, %r8
	movq	%rbp, %r9
	callq	*%rax
	cmpl	$-2, %eax
	je	.LBB0_4
	testl	%eax, %eax
	jne	.LBB0_9
.LBB0_4:
	movq	24(%rsp), %rcx
	movq	40(%rsp), %r8
	movq	32(%rsp), %r9
	movabsq	$_ZN7serving13margin_kernel16_rank_categoriesB2v4B38c8tJTIeFIjxB2IKSgI4CrvQClQZ6FczSBAA_3dE10float64_2a8int64_2ax8int32_2a8int64_2ax, %rax
	leaq	112(%rsp), %rdi
	leaq	104(%rsp), %rsi
	movq	%r13, %rdx
	pushq	8(%rsp)
	pushq	%rbp
	callq	*%rax
	addq	$16, %rsp
	cmpl	$-2, %eax
	je	.LBB0_6
	testl	%eax, %eax
	jne	.LBB0_9
.LBB0_6:
	vxorpd	%xmm0, %xmm0, %xmm0
	testq	%rbx, %rbx
	jle	.LBB0_11
	xorl	%r15d, %r15d
	xorl	%r13d, %r13d
	.p2align	4
.LBB0_8:
	movq	80(%rsp), %rdx
	movq	72(%rsp), %r8
	movq	64(%rsp), %r9
	vmovsd	%xmm0, 8(%rsp)
	leaq	96(%rsp), %rdi
	leaq	88(%rsp), %rsi
	movq	%rbp, %rcx
	pushq	%r14
	pushq	(%r12,%r13,8)
	pushq	%r15
	pushq	80(%rsp)
	movabsq	$_ZN7serving13margin_kernel5_walk12_3clocals_3e4walkB2v5B38c8tJTIeFIjxB2IKSgI4CrvQClQZ6FczSBAA_3dE8int64_2a8int64_2a10float64_2a8int64_2a8int64_2axx10float64_2a, %rax
	callq	*%rax
	addq	$32, %rsp
	testl	%eax, %eax
	jne	.LBB0_9
	vmovsd	8(%rsp), %xmm0
	incq	%r13
	vaddsd	(%r14,%r15,8), %xmm0, %xmm0
	vaddsd	8(%r14,%r15,8), %xmm0, %xmm0
	vaddsd	16(%r14,%r15,8), %xmm0, %xmm0
	vaddsd	24(%r14,%r15,8), %xmm0, %xmm0
	vaddsd	32(%r14,%r15,8), %xmm0, %xmm0
	vaddsd	40(%r14,%r15,8), %xmm0, %xmm0
	vaddsd	48(%r14,%r15,8), %xmm0, %xmm0
	vaddsd	56(%r14,%r15,8), %xmm0, %xmm0
	vaddsd	64(%r14,%r15,8), %xmm0, %xmm0
	vaddsd	72(%r14,%r15,8), %xmm0, %xmm0
	vaddsd	80(%r14,%r15,8), %xmm0, %xmm0
	vaddsd	88(%r14,%r15,8), %xmm0, %xmm0
	vaddsd	96(%r14,%r15,8), %xmm0, %xmm0
	vaddsd	104(%r14,%r15,8), %xmm0, %xmm0
	vaddsd	112(%r14,%r15,8), %xmm0, %xmm0
	vaddsd	120(%r14,%r15,8), %xmm0, %xmm0
	addq	$16, %r15
	cmpq	%r13, %rbx
	jne	.LBB0_8
.LBB0_11:
	shlq	$7, %rbx
	xorl	%ecx, %ecx
	leaq	120(%rbx,%r14), %rax
	.p2align	4
.LBB0_12:
	vaddsd	-120(%rax,%rcx,8), %xmm0, %xmm0
	vaddsd	-112(%rax,%rcx,8), %xmm0, %xmm0
	vaddsd	-104(%rax,%rcx,8), %xmm0, %xmm0
	vaddsd	-96(%rax,%rcx,8), %xmm0, %xmm0
	vaddsd	-88(%rax,%rcx,8), %xmm0, %xmm0
	vaddsd	-80(%rax,%rcx,8), %xmm0, %xmm0
	vaddsd	-72(%rax,%rcx,8), %xmm0, %xmm0
	vaddsd	-64(%rax,%rcx,8), %xmm0, %xmm0
	vaddsd	-56(%rax,%rcx,8), %xmm0, %xmm0
	vaddsd	-48(%rax,%rcx,8), %xmm0, %xmm0
	vaddsd	-40(%rax,%rcx,8), %xmm0, %xmm0
	vaddsd	-32(%rax,%rcx,8), %xmm0, %xmm0
	vaddsd	-24(%rax,%rcx,8), %xmm0, %xmm0
	vaddsd	-16(%rax,%rcx,8), %xmm0, %xmm0
	vaddsd	-8(%rax,%rcx,8), %xmm0, %xmm0
	vaddsd	(%rax,%rcx,8), %xmm0, %xmm0
	addq	$16, %rcx
	cmpq	$128, %rcx
	jne	.LBB0_12
	movq	16(%rsp), %rax
	vmovsd	%xmm0, (%rax)
	xorl	%eax, %eax
	jmp	.LBB0_14
.LBB0_9:
	movq	(%rsp), %rcx
	movq	$0, (%rcx)
.LBB0_14:
	addq	$152, %rsp
	popq	%rbx
	popq	%r12
	popq	%r13
	popq	%r14
	popq	%r15
	popq	%rbp
	retq
.Lfunc_end0:
	.size	_ZN7serving13margin_kernel7_margin12_3clocals_3e6marginB2v1B52c8tJTIeFIjxB2IKSgI4CrvQClUYkACQB1EiFSRRB9GgCAA_3d_3dE8int64_2a, .Lfunc_end0-_ZN7serving13margin_kernel7_margin12_3clocals_3e6marginB2v1B52c8tJTIeFIjxB2IKSgI4CrvQClUYkACQB1EiFSRRB9GgCAA_3d_3dE8int64_2a

	.globl	cfunc._ZN7serving13margin_kernel7_margin12_3clocals_3e6marginB2v1B52c8tJTIeFIjxB2IKSgI4CrvQClUYkACQB1EiFSRRB9GgCAA_3d_3dE8int64_2a
	.p2align	4
	.type	cfunc._ZN7serving13margin_kernel7_margin12_3clocals_3e6marginB2v1B52c8tJTIeFIjxB2IKSgI4CrvQClUYkACQB1EiFSRRB9GgCAA_3d_3dE8int64_2a,@function
cfunc._ZN7serving13margin_kernel7_margin12_3clocals_3e6marginB2v1B52c8tJTIeFIjxB2IKSgI4CrvQClUYkACQB1EiFSRRB9GgCAA_3d_3dE8int64_2a:
	.cfi_startproc
	pushq	%rbp
	.cfi_def_cfa_offset 16
	pushq	%r14
	.cfi_def_cfa_offset 24
	pushq	%rbx
	.cfi_def_cfa_offset 32
	subq	$32, %rsp
	.cfi_def_cfa_offset 64
	.cfi_offset %rbx, -32
	.cfi_offset %r14, -24
	.cfi_offset %rbp, -16
	movq	%rdi, %rdx
	movabsq	$_ZN7serving13margin_kernel7_margin12_3clocals_3e6marginB2v1B52c8tJTIeFIjxB2IKSgI4CrvQClUYkACQB1EiFSRRB9GgCAA_3d_3dE8int64_2a, %rax
	leaq	16(%rsp), %rdi
	leaq	8(%rsp), %rsi
	movq	$0, 16(%rsp)
	movq	$0, 8(%rsp)
	callq	*%rax
	vmovsd	16(%rsp), %xmm0
	movq	8(%rsp), %rbx
	movl	$0, 4(%rsp)
	testl	%eax, %eax
	jne	.LBB1_1
.LBB1_8:
	addq	$32, %rsp
	.cfi_def_cfa_offset 32
	popq	%rbx
	.cfi_def_cfa_offset 24
	popq	%r14
	.cfi_def_cfa_offset 16
	popq	%rbp
	.cfi_def_cfa_offset 8
	retq
.LBB1_1:
	.cfi_def_cfa_offset 64
	movabsq	$numba_gil_ensure, %rcx
	leaq	4(%rsp), %rdi
	vmovsd	%xmm0, 24(%rsp)
	movl	%eax, %ebp
	callq	*%rcx
	testl	%ebp, %ebp
	jle	.LBB1_9
	movabsq	$PyErr_Clear, %rax
	callq	*%rax
	movl	8(%rbx), %esi
	movq	(%rbx), %rdi
	cmpl	$0, 32(%rbx)
	jle	.LBB1_12
	movslq	%esi, %rsi
	movabsq	$PyBytes_FromStringAndSize, %rax
	callq	*%rax
	movq	16(%rbx), %rdi
	movq	%rax, %r14
	callq	*24(%rbx)
	testq	%rax, %rax
	je	.LBB1_4
	movabsq	$numba_runtime_build_excinfo_struct, %rcx
	movq	%r14, %rdi
	movq	%rax, %rsi
	callq	*%rcx
	movabsq	$NRT_Free, %rbp
	movq	%rbx, %rdi
	movq	%rax, %r14
	callq	*%rbp
	jmp	.LBB1_13
.LBB1_9:
	movl	%ebp, %eax
	cmpl	$-3, %ebp
	je	.LBB1_5
	cmpl	$-1, %eax
	je	.LBB1_7
	movabsq	$PyExc_SystemError, %rdi
	movabsq	$".const.unknown error when calling native function", %rsi
	movabsq	$PyErr_SetString, %rax
	callq	*%rax
	jmp	.LBB1_7
.LBB1_12:
	movq	16(%rbx), %rdx
	movabsq	$numba_unpickle, %rax
	callq	*%rax
	movq	%rax, %r14
.LBB1_13:
	testq	%r14, %r14
	je	.LBB1_7
	movabsq	$numba_do_raise, %rax
	movq	%r14, %rdi
.LBB1_6:
	callq	*%rax
.LBB1_7:
	movabsq	$".const.<numba.core.cpu.CPUContext>", %rdi
	movabsq	$PyUnicode_FromString, %rax
	callq	*%rax
	movabsq	$PyErr_WriteUnraisable, %r14
	movq	%rax, %rbx
	movq	%rbx, %rdi
	callq	*%r14
	movabsq	$Py_DecRef, %rax
	movq	%rbx, %rdi
	callq	*%rax
	movabsq	$numba_gil_release, %rax
	leaq	4(%rsp), %rdi
	callq	*%rax
	vmovsd	24(%rsp), %xmm0
	jmp	.LBB1_8
.LBB1_5:
	movabsq	$PyExc_StopIteration, %rdi
	movabsq	$PyErr_SetNone, %rax
	jmp	.LBB1_6
.LBB1_4:
	movabsq	$PyExc_RuntimeError, %rdi
	movabsq	$".const.Error creating Python tuple from runtime exception arguments", %rsi
	movabsq	$PyErr_SetString, %rax
	callq	*%rax
	vxorps	%xmm0, %xmm0, %xmm0
	jmp	.LBB1_8
.Lfunc_end1:
	.size	cfunc._ZN7serving13margin_kernel7_margin12_3clocals_3e6marginB2v1B52c8tJTIeFIjxB2IKSgI4CrvQClUYkACQB1EiFSRRB9GgCAA_3d_3dE8int64_2a, .Lfunc_end1-cfunc._ZN7serving13margin_kernel7_margin12_3clocals_3e6marginB2v1B52c8tJTIeFIjxB2IKSgI4CrvQClUYkACQB1EiFSRRB9GgCAA_3d_3dE8int64_2a
	.cfi_endproc

	.section	.rodata.cst8,"aM",@progbits,8
	.p2align	3, 0x0
.LCPI2_0:
	.quad	0x7fffffffffffffff
.LCPI2_1:
	.quad	0x38aa95a5c0000000
	.section	.ltext,"axl",@progbits
	.weak	_ZN7serving13margin_kernel7_searchB2v2B38c8tJTIeFIjxB2IKSgI4CrvQClQZ6FczSBAA_3dE10float64_2a8int64_2ax10float64_2a8int64_2a
	.p2align	4
	.type	_ZN7serving13margin_kernel7_searchB2v2B38c8tJTIeFIjxB2IKSgI4CrvQClQZ6FczSBAA_3dE10float64_2a8int64_2ax10float64_2a8int64_2a,@function
_ZN7serving13margin_kernel7_searchB2v2B38c8tJTIeFIjxB2IKSgI4CrvQClQZ6FczSBAA_3dE10float64_2a8int64_2ax10float64_2a8int64_2a:
	pushq	%rbp
	pushq	%r15
	pushq	%r14
	pushq	%r13
	pushq	%r12
	pushq	%rbx
	movq	%rdi, -8(%rsp)
	testq	%r8, %r8
	jle	.LBB2_14
	movq	%rdx, %r12
	movabsq	$.LCPI2_0, %rax
	movabsq	$.LCPI2_1, %rdx
	movq	56(%rsp), %r13
	movl	$1, %r10d
	xorl	%esi, %esi
	movq	%r9, -16(%rsp)
	movq	%rcx, -24(%rsp)
	vmovddup	(%rax), %xmm0
	vmovsd	(%rdx), %xmm1
	jmp	.LBB2_2
	.p2align	4
.LBB2_3:
	xorl	%eax, %eax
.LBB2_13:
	xorl	%r11d, %r11d
	vucomisd	%xmm2, %xmm2
	leaq	1(%rsi), %rdi
	setp	%r11b
	shlq	$4, %rsi
	shll	$2, %r11d
	movq	%rax, (%r13,%rsi)
	leaq	(%r11,%rdx,2), %rax
	movq	%rax, 8(%r13,%rsi)
	movq	%rdi, %rsi
	cmpq	%rdi, %r8
	je	.LBB2_14
.LBB2_2:
	movq	%rsi, %rax
	shlq	$5, %rax
	xorl	%edx, %edx
	movq	(%rcx,%rax), %r11
	movq	16(%rcx,%rax), %rbx
	vmovsd	(%r12,%r11,8), %xmm2
	vucomisd	%xmm2, %xmm2
	vandpd	%xmm0, %xmm2, %xmm3
	setp	%dl
	xorl	%r14d, %r14d
	vucomisd	%xmm3, %xmm1
	setae	%r14b
	andl	24(%rcx,%rax), %edx
	orq	%r14, %rdx
	sete	%bpl
	testq	%rbx, %rbx
	jle	.LBB2_3
	movq	8(%rcx,%rax), %rax
	kmovd	%ebp, %k1
	movl	%ebx, %r15d
	andl	$7, %r15d
	vmovsd	%xmm2, %xmm2, %xmm3 {%k1} {z}
	leaq	(%r9,%rax,8), %r14
	cmpq	$8, %rbx
	jae	.LBB2_6
	xorl	%eax, %eax
	jmp	.LBB2_11
	.p2align	4
.LBB2_6:
	movq	%r12, %rcx
	movq	%rbx, %r12
	andq	$-8, %r12
	xorl	%r13d, %r13d
	xorl	%eax, %eax
	negq	%r12
	.p2align	4
.LBB2_7:
	leal	(%rbx,%r13), %ebp
	leaq	(%r14,%rax,8), %r11
	leal	-1(%rbp), %edi
	shlxq	%rdi, %r10, %r9
	vmovsd	-8(%r11,%r9,8), %xmm4
	xorl	%r9d, %r9d
	vucomisd	%xmm3, %xmm4
	setb	%r9b
	shlxq	%rdi, %r9, %rdi
	addq	%rax, %rdi
	leal	-2(%rbp), %eax
	leaq	(%r14,%rdi,8), %r11
	shlxq	%rax, %r10, %r9
	vmovsd	-8(%r11,%r9,8), %xmm4
	xorl	%r9d, %r9d
	vucomisd	%xmm3, %xmm4
	setb	%r9b
	shlxq	%rax, %r9, %rax
	addq	%rdi, %rax
	leal	-3(%rbp), %edi
	leaq	(%r14,%rax,8), %r11
	shlxq	%rdi, %r10, %r9
	vmovsd	-8(%r11,%r9,8), %xmm4
	xorl	%r9d, %r9d
	vucomisd	%xmm3, %xmm4
	setb	%r9b
	shlxq	%rdi, %r9, %rdi
	addq	%rax, %rdi
	leal	-4(%rbp), %eax
	leaq	(%r14,%rdi,8), %r11
	shlxq	%rax, %r10, %r9
	vmovsd	-8(%r11,%r9,8), %xmm4
	xorl	%r9d, %r9d
	vucomisd	%xmm3, %xmm4
	setb	%r9b
	shlxq	%rax, %r9, %rax
	addq	%rdi, %rax
	leal	-5(%rbp), %edi
	leaq	(%r14,%rax,8), %r11
	shlxq	%rdi, %r10, %r9
	vmovsd	-8(%r11,%r9,8), %xmm4
	xorl	%r9d, %r9d
	vucomisd	%xmm3, %xmm4
	setb	%r9b
	shlxq	%rdi, %r9, %rdi
	addq	%rax, %rdi
	leal	-6(%rbp), %eax
	leaq	(%r14,%rdi,8), %r11
	shlxq	%rax, %r10, %r9
	vmovsd	-8(%r11,%r9,8), %xmm4
	xorl	%r9d, %r9d
	vucomisd	%xmm3, %xmm4
	setb	%r9b
	shlxq	%rax, %r9, %rax
	addq	%rdi, %rax
	leal	-7(%rbp), %edi
	leaq	(%r14,%rax,8), %r11
	shlxq	%rdi, %r10, %r9
	vmovsd	-8(%r11,%r9,8), %xmm4
	xorl	%r9d, %r9d
	vucomisd	%xmm3, %xmm4
	setb	%r9b
	addb	$-8, %bpl
	shlxq	%rdi, %r9, %rdi
	addq	%rax, %rdi
	shlxq	%rbp, %r10, %rax
	leaq	(%r14,%rdi,8), %r9
	vmovsd	-8(%r9,%rax,8), %xmm4
	xorl	%eax, %eax
	vucomisd	%xmm3, %xmm4
	setb	%al
	addq	$-8, %r13
	shlxq	%rbp, %rax, %rax
	addq	%rdi, %rax
	cmpq	%r13, %r12
	jne	.LBB2_7
	testq	%r15, %r15
	je	.LBB2_9
	addq	%r12, %rbx
	movq	%rcx, %r12
	movq	-16(%rsp), %r9
	movq	-24(%rsp), %rcx
	movq	56(%rsp), %r13
.LBB2_11:
	decq	%rbx
	.p2align	4
.LBB2_12:
	movq	%rax, %rdi
	leaq	(%r14,%rdi,8), %r11
	shlxq	%rbx, %r10, %rax
	vmovsd	-8(%r11,%rax,8), %xmm4
	xorl	%eax, %eax
	vucomisd	%xmm3, %xmm4
	setb	%al
	shlxq	%rbx, %rax, %rax
	decq	%rbx
	addq	%rdi, %rax
	decq	%r15
	jne	.LBB2_12
	jmp	.LBB2_13
.LBB2_9:
	movq	%rcx, %r12
	movq	-16(%rsp), %r9
	movq	-24(%rsp), %rcx
	movq	56(%rsp), %r13
	jmp	.LBB2_13
.LBB2_14:
	movq	-8(%rsp), %rax
	movq	$0, (%rax)
	xorl	%eax, %eax
	popq	%rbx
	popq	%r12
	popq	%r13
	popq	%r14
	popq	%r15
	popq	%rbp
	retq
.Lfunc_end2:
	.size	_ZN7serving13margin_kernel7_searchB2v2B38c8tJTIeFIjxB2IKSgI4CrvQClQZ6FczSBAA_3dE10float64_2a8int64_2ax10float64_2a8int64_2a, .Lfunc_end2-_ZN7serving13margin_kernel7_searchB2v2B38c8tJTIeFIjxB2IKSgI4CrvQClQZ6FczSBAA_3dE10float64_2a8int64_2ax10float64_2a8int64_2a

	.weak	_ZN7serving13margin_kernel13_rank_columnsB2v3B38c8tJTIeFIjxB2IKSgI4CrvQClQZ6FczSBAA_3dE8int64_2ax8int64_2a8int64_2a
	.p2align	4
	.type	_ZN7serving13margin_kernel13_rank_columnsB2v3B38c8tJTIeFIjxB2IKSgI4CrvQClQZ6FczSBAA_3dE8int64_2ax8int64_2a8int64_2a,@function
_ZN7serving13margin_kernel13_rank_columnsB2v3B38c8tJTIeFIjxB2IKSgI4CrvQClQZ6FczSBAA_3dE8int64_2ax8int64_2a8int64_2a:
	testq	%rcx, %rcx
	jle	.LBB3_15
	pushq	%rbp
	pushq	%r15
	pushq	%r14
	pushq	%r13
	pushq	%r12
	pushq	%rbx
	movl	%ecx, %eax
	andl	$3, %eax
	cmpq	$4, %rcx
	jae	.LBB3_3
	xorl	%ecx, %ecx
	jmp	.LBB3_12
.LBB3_3:
	leaq	-4(%rcx), %r11
	movabsq	$9223372036854775804, %r12
	shrq	$2, %r11
	je	.LBB3_4
	incq	%r11
	leaq	2(%r12), %rbx
	leaq	184(%rdx), %r10
	xorl	%r14d, %r14d
	andq	%r11, %rbx
	.p2align	4
.LBB3_6:
	movq	-184(%r10), %r12
	movl	-176(%r10), %esi
	leaq	-168(%r10), %r13
	leaq	-96(%r10), %r15
	shlq	$4, %r12
	leaq	(%r8,%r12), %rbp
	movq	8(%r8,%r12), %r12
	btq	%rsi, %r12
	leaq	-144(%r10), %r12
	cmovbq	%r13, %rbp
	movq	(%rbp), %rsi
	shlq	$16, %rsi
	movq	%rsi, (%r9,%r14,8)
	movq	-160(%r10), %rsi
	movl	-152(%r10), %ebp
	shlq	$4, %rsi
	leaq	(%r8,%rsi), %r13
	movq	8(%r8,%rsi), %rsi
	btq	%rbp, %rsi
	cmovbq	%r12, %r13
	leaq	-120(%r10), %r12
	movq	(%r13), %rsi
	shlq	$16, %rsi
	movq	%rsi, 8(%r9,%r14,8)
	movq	-136(%r10), %rsi
	movl	-128(%r10), %ebp
	shlq	$4, %rsi
	leaq	(%r8,%rsi), %r13
	movq	8(%r8,%rsi), %rsi
	btq	%rbp, %rsi
	cmovbq	%r12, %r13
	movq	(%r13), %rsi
	shlq	$16, %rsi
	movq	%rsi, 16(%r9,%r14,8)
	movq	-112(%r10), %rsi
	movl	-104(%r10), %r13d
	shlq	$4, %rsi
	leaq	(%r8,%rsi), %r12
	movq	8(%r8,%rsi), %rsi
	btq	%r13, %rsi
	cmovbq	%r15, %r12
	leaq	-72(%r10), %r15
	movq	(%r12), %rsi
	shlq	$16, %rsi
	movq	%rsi, 24(%r9,%r14,8)
	movq	-88(%r10), %rsi
	movl	-80(%r10), %r13d
	shlq	$4, %rsi
	leaq	(%r8,%rsi), %r12
	movq	8(%r8,%rsi), %rsi
	btq	%r13, %rsi
	cmovbq	%r15, %r12
	leaq	-48(%r10), %r15
	movq	(%r12), %rsi
	shlq	$16, %rsi
	movq	%rsi, 32(%r9,%r14,8)
	movq	-64(%r10), %rsi
	movl	-56(%r10), %r13d
	shlq	$4, %rsi
	leaq	(%r8,%rsi), %r12
	movq	8(%r8,%rsi), %rsi
	btq	%r13, %rsi
	cmovbq	%r15, %r12
	leaq	-24(%r10), %r15
	movq	(%r12), %rsi
	shlq	$16, %rsi
	movq	%rsi, 40(%r9,%r14,8)
	movq	-40(%r10), %rsi
	movl	-32(%r10), %r13d
	shlq	$4, %rsi
	leaq	(%r8,%rsi), %r12
	movq	8(%r8,%rsi), %rsi
	btq	%r13, %rsi
	cmovbq	%r15, %r12
	movq	(%r12), %rsi
	shlq	$16, %rsi
	movq	%rsi, 48(%r9,%r14,8)
	movq	-16(%r10), %rsi
	movl	-8(%r10), %r12d
	shlq	$4, %rsi
	leaq	(%r8,%rsi), %r15
	movq	8(%r8,%rsi), %rsi
	btq	%r12, %rsi
	cmovbq	%r10, %r15
	addq	$192, %r10
	movq	(%r15), %rsi
	shlq	$16, %rsi
	addq	$-2, %rbx
	movq	%rsi, 56(%r9,%r14,8)
	leaq	8(%r14), %r14
	jne	.LBB3_6
	movabsq	$9223372036854775804, %r12
	testb	$1, %r11b
	je	.LBB3_10
	addq	$-96, %r10
	jmp	.LBB3_9
.LBB3_4:
	leaq	88(%rdx), %r10
	xorl	%r14d, %r14d
.LBB3_9:
	movq	-88(%r10), %rsi
	movl	-80(%r10), %r15d
	leaq	-72(%r10), %r11
	shlq	$4, %rsi
	leaq	(%r8,%rsi), %rbx
	movq	8(%r8,%rsi), %rsi
	btq	%r15, %rsi
	cmovbq	%r11, %rbx
	leaq	-48(%r10), %r11
	movq	(%rbx), %rsi
	shlq	$16, %rsi
	movq	%rsi, (%r9,%r14,8)
	movq	-64(%r10), %rsi
	movl	-56(%r10), %r15d
	shlq	$4, %rsi
	leaq	(%r8,%rsi), %rbx
	movq	8(%r8,%rsi), %rsi
	btq	%r15, %rsi
	cmovbq	%r11, %rbx
	leaq	-24(%r10), %r11
	movq	(%rbx), %rsi
	shlq	$16, %rsi
	movq	%rsi, 8(%r9,%r14,8)
	movq	-40(%r10), %rsi
	movl	-32(%r10), %r15d
	shlq	$4, %rsi
	leaq	(%r8,%rsi), %rbx
	movq	8(%r8,%rsi), %rsi
	btq	%r15, %rsi
	cmovbq	%r11, %rbx
	movq	(%rbx), %rsi
	shlq	$16, %rsi
	movq	%rsi, 16(%r9,%r14,8)
	movq	-16(%r10), %rsi
	movl	-8(%r10), %ebx
	shlq	$4, %rsi
	leaq	(%r8,%rsi), %r11
	movq	8(%r8,%rsi), %rsi
	btq	%rbx, %rsi
	cmovbq	%r10, %r11
	movq	(%r11), %rsi
	shlq	$16, %rsi
	movq	%rsi, 24(%r9,%r14,8)
.LBB3_10:
	testq	%rax, %rax
	je	.LBB3_14
	andq	%r12, %rcx
.LBB3_12:
	leaq	(%r9,%rcx,8), %rsi
	leaq	(%rcx,%rcx,2), %rcx
	leaq	16(%rdx,%rcx,8), %rcx
	xorl	%edx, %edx
	.p2align	4
.LBB3_13:
	movq	-16(%rcx), %r9
	movl	-8(%rcx), %r11d
	shlq	$4, %r9
	leaq	(%r8,%r9), %r10
	movq	8(%r8,%r9), %r9
	btq	%r11, %r9
	cmovbq	%rcx, %r10
	addq	$24, %rcx
	movq	(%r10), %r9
	shlq	$16, %r9
	movq	%r9, (%rsi,%rdx,8)
	incq	%rdx
	cmpq	%rdx, %rax
	jne	.LBB3_13
.LBB3_14:
	popq	%rbx
	popq	%r12
	popq	%r13
	popq	%r14
	popq	%r15
	popq	%rbp
.LBB3_15:
	xorl	%eax, %eax
	movq	$0, (%rdi)
	retq
.Lfunc_end3:
	.size	_ZN7serving13margin_kernel13_rank_columnsB2v3B38c8tJTIeFIjxB2IKSgI4CrvQClQZ6FczSBAA_3dE8int64_2ax8int64_2a8int64_2a, .Lfunc_end3-_ZN7serving13margin_kernel13_rank_columnsB2v3B38c8tJTIeFIjxB2IKSgI4CrvQClQZ6FczSBAA_3dE8int64_2ax8int64_2a8int64_2a

	.section	.rodata.cst8,"aM",@progbits,8
	.p2align	3, 0x0
.LCPI4_0:
	.quad	0xbff0000000000000
	.section	.ltext,"axl",@progbits
	.weak	_ZN7serving13margin_kernel16_rank_categoriesB2v4B38c8tJTIeFIjxB2IKSgI4CrvQClQZ6FczSBAA_3dE10float64_2a8int64_2ax8int32_2a8int64_2ax
	.p2align	4
	.type	_ZN7serving13margin_kernel16_rank_categoriesB2v4B38c8tJTIeFIjxB2IKSgI4CrvQClQZ6FczSBAA_3dE10float64_2a8int64_2ax8int32_2a8int64_2ax,@function
_ZN7serving13margin_kernel16_rank_categoriesB2v4B38c8tJTIeFIjxB2IKSgI4CrvQClQZ6FczSBAA_3dE10float64_2a8int64_2ax8int32_2a8int64_2ax:
	pushq	%rbp
	pushq	%r15
	pushq	%r14
	pushq	%r13
	pushq	%r12
	pushq	%rbx
	movq	%rdi, -24(%rsp)
	testq	%r8, %r8
	jle	.LBB4_24
	movabsq	$.LCPI4_0, %rdi
	movq	56(%rsp), %r15
	movq	64(%rsp), %rax
	xorl	%r12d, %r12d
	vmovsd	(%rdi), %xmm0
	leaq	192(%r15), %rsi
	leaq	56(%r15), %r10
	movq	%rsi, -16(%rsp)
	movq	%r10, -8(%rsp)
	jmp	.LBB4_3
	.p2align	4
.LBB4_2:
	incq	%r12
	addq	%rdi, %rax
	cmpq	%r12, %r8
	je	.LBB4_24
.LBB4_3:
	movq	%r12, %r10
	shlq	$5, %r10
	movq	16(%rcx,%r10), %rdi
	testq	%rdi, %rdi
	jle	.LBB4_2
	movq	(%rcx,%r10), %rsi
	movq	8(%rcx,%r10), %r11
	vmovsd	(%rdx,%rsi,8), %xmm2
	vcvtsi2sd	%r11, %xmm15, %xmm1
	vcmpltsd	%xmm1, %xmm2, %k0
	vcmpgtsd	%xmm0, %xmm2, %k1
	vcvttsd2si	%xmm2, %rbp
	kandw	%k0, %k1, %k0
	kmovd	%k0, %esi
	testb	$1, %sil
	cmoveq	%r11, %rbp
	movq	24(%rcx,%r10), %r11
	leaq	(%r15,%rax,8), %r10
	movq	%rbp, %r14
	imulq	%rdi, %r14
	leaq	(%r9,%r11,4), %rsi
	leaq	(%rsi,%r14,4), %rbx
	cmpq	$8, %rdi
	jb	.LBB4_5
	leaq	(%rdi,%rax), %rsi
	leaq	(%r15,%rsi,8), %rsi
	cmpq	%rsi, %rbx
	jae	.LBB4_9
	leaq	4(,%rbp,4), %rsi
	imulq	%rdi, %rsi
	addq	%r9, %rsi
	leaq	(%rsi,%r11,4), %rsi
	cmpq	%rsi, %r10
	jae	.LBB4_9
.LBB4_5:
	xorl	%r13d, %r13d
.LBB4_18:
	movq	%rdi, %r15
	andq	$7, %r15
	movq	%r13, %rbp
	je	.LBB4_21
	movq	%r13, %rbp
	.p2align	4
.LBB4_20:
	movslq	(%rbx,%rbp,4), %rsi
	shlq	$16, %rsi
	decq	%r15
	movq	%rsi, (%r10,%rbp,8)
	leaq	1(%rbp), %rbp
	jne	.LBB4_20
.LBB4_21:
	movq	56(%rsp), %r15
	subq	%rdi, %r13
	cmpq	$-8, %r13
	ja	.LBB4_2
	movq	-8(%rsp), %rsi
	leaq	28(%r9), %rbx
	leaq	(%rsi,%rax,8), %r10
	leaq	(%rbx,%r14,4), %rsi
	leaq	(%rsi,%r11,4), %r11
	.p2align	4
.LBB4_23:
	movslq	-28(%r11,%rbp,4), %rsi
	shlq	$16, %rsi
	movq	%rsi, -56(%r10,%rbp,8)
	movslq	-24(%r11,%rbp,4), %rsi
	shlq	$16, %rsi
	movq	%rsi, -48(%r10,%rbp,8)
	movslq	-20(%r11,%rbp,4), %rsi
	shlq	$16, %rsi
	movq	%rsi, -40(%r10,%rbp,8)
	movslq	-16(%r11,%rbp,4), %rsi
	shlq	$16, %rsi
	movq	%rsi, -32(%r10,%rbp,8)
	movslq	-12(%r11,%rbp,4), %rsi
	shlq	$16, %rsi
	movq	%rsi, -24(%r10,%rbp,8)
	movslq	-8(%r11,%rbp,4), %rsi
	shlq	$16, %rsi
	movq	%rsi, -16(%r10,%rbp,8)
	movslq	-4(%r11,%rbp,4), %rsi
	shlq	$16, %rsi
	movq	%rsi, -8(%r10,%rbp,8)
	movslq	(%r11,%rbp,4), %rsi
	shlq	$16, %rsi
	movq	%rsi, (%r10,%rbp,8)
	addq	$8, %rbp
	cmpq	%rbp, %rdi
	jne	.LBB4_23
	jmp	.LBB4_2
.LBB4_9:
	cmpq	$32, %rdi
	jae	.LBB4_11
	xorl	%r13d, %r13d
	jmp	.LBB4_15
.LBB4_11:
	leaq	(,%r11,4), %rsi
	leaq	96(%r9), %r15
	movq	%rdi, %r13
	shlq	$2, %rbp
	imulq	%rdi, %rbp
	addq	%r15, %rsi
	movabsq	$9223372036854775776, %r15
	andq	%r15, %r13
	movq	-16(%rsp), %r15
	addq	%rsi, %rbp
	xorl	%esi, %esi
	leaq	(%r15,%rax,8), %r15
	.p2align	4
.LBB4_12:
	vpmovsxdq	-96(%rbp,%rsi,4), %zmm1
	vpmovsxdq	-64(%rbp,%rsi,4), %zmm2
	vpmovsxdq	-32(%rbp,%rsi,4), %zmm3
	vpmovsxdq	(%rbp,%rsi,4), %zmm4
	vpsllq	$16, %zmm1, %zmm1
	vpsllq	$16, %zmm2, %zmm2
	vpsllq	$16, %zmm3, %zmm3
	vpsllq	$16, %zmm4, %zmm4
	vmovdqu64	%zmm1, -192(%r15,%rsi,8)
	vmovdqu64	%zmm2, -128(%r15,%rsi,8)
	vmovdqu64	%zmm3, -64(%r15,%rsi,8)
	vmovdqu64	%zmm4, (%r15,%rsi,8)
	addq	$32, %rsi
	cmpq	%rsi, %r13
	jne	.LBB4_12
	movq	56(%rsp), %r15
	cmpq	%r13, %rdi
	je	.LBB4_2
	testb	$24, %dil
	je	.LBB4_18
.LBB4_15:
	movq	%r13, %rsi
	movabsq	$9223372036854775776, %r13
	addq	$24, %r13
	andq	%rdi, %r13
	.p2align	4
.LBB4_16:
	vpmovsxdq	(%rbx,%rsi,4), %zmm1
	vpsllq	$16, %zmm1, %zmm1
	vmovdqu64	%zmm1, (%r10,%rsi,8)
	addq	$8, %rsi
	cmpq	%rsi, %r13
	jne	.LBB4_16
	cmpq	%r13, %rdi
	je	.LBB4_2
	jmp	.LBB4_18
.LBB4_24:
	movq	-24(%rsp), %rax
	movq	$0, (%rax)
	xorl	%eax, %eax
	popq	%rbx
	popq	%r12
	popq	%r13
	popq	%r14
	popq	%r15
	popq	%rbp
	vzeroupper
	retq
.Lfunc_end4:
	.size	_ZN7serving13margin_kernel16_rank_categoriesB2v4B38c8tJTIeFIjxB2IKSgI4CrvQClQZ6FczSBAA_3dE10float64_2a8int64_2ax8int32_2a8int64_2ax, .Lfunc_end4-_ZN7serving13margin_kernel16_rank_categoriesB2v4B38c8tJTIeFIjxB2IKSgI4CrvQClQZ6FczSBAA_3dE10float64_2a8int64_2ax8int32_2a8int64_2ax

	.weak	_ZN7serving13margin_kernel5_walk12_3clocals_3e4walkB2v5B38c8tJTIeFIjxB2IKSgI4CrvQClQZ6FczSBAA_3dE8int64_2a8int64_2a10float64_2a8int64_2a8int64_2axx10float64_2a
	.p2align	4
	.type	_ZN7serving13margin_kernel5_walk12_3clocals_3e4walkB2v5B38c8tJTIeFIjxB2IKSgI4CrvQClQZ6FczSBAA_3dE8int64_2a8int64_2a10float64_2a8int64_2a8int64_2axx10float64_2a,@function
_ZN7serving13margin_kernel5_walk12_3clocals_3e4walkB2v5B38c8tJTIeFIjxB2IKSgI4CrvQClQZ6FczSBAA_3dE8int64_2a8int64_2a10float64_2a8int64_2a8int64_2axx10float64_2a:
	pushq	%rbp
	pushq	%r15
	pushq	%r14
	pushq	%r13
	pushq	%r12
	pushq	%rbx
	movq	64(%rsp), %rbp
	movq	%rdi, -16(%rsp)
	movq	%r9, %rbx
	movq	%r8, -24(%rsp)
	movq	%rcx, -8(%rsp)
	movq	56(%r9,%rbp,8), %rdi
	movq	24(%r9,%rbp,8), %rax
	movq	32(%r9,%rbp,8), %rsi
	movq	48(%r9,%rbp,8), %r14
	movq	80(%rbx,%rbp,8), %r13
	movq	88(%rbx,%rbp,8), %r15
	movq	104(%rbx,%rbp,8), %r10
	movq	112(%rbx,%rbp,8), %r11
	movq	(%r9,%rbp,8), %r8
	movq	8(%r9,%rbp,8), %rcx
	movq	16(%r9,%rbp,8), %r12
	movq	%rdi, -80(%rsp)
	movq	96(%rbx,%rbp,8), %rdi
	movq	%rax, -120(%rsp)
	movq	%rsi, -112(%rsp)
	movq	40(%r9,%rbp,8), %rsi
	movq	64(%r9,%rbp,8), %rax
	movq	72(%r9,%rbp,8), %r9
	movq	120(%rbx,%rbp,8), %rbp
	movq	%r15, -40(%rsp)
	movq	%r11, -48(%rsp)
	movq	%r13, -56(%rsp)
	movq	%r14, -88(%rsp)
	movq	%r10, -64(%rsp)
	movq	%rdi, -104(%rsp)
	movq	72(%rsp), %rdi
	movq	%rbp, -32(%rsp)
	movq	%r9, -72(%rsp)
	movq	%rsi, -96(%rsp)
	testq	%rdi, %rdi
	jle	.LBB5_1
	movq	-120(%rsp), %rbx
	movq	-112(%rsp), %r11
	movq	-104(%rsp), %rsi
	movq	-8(%rsp), %r10
	incq	%rdi
	.p2align	4
.LBB5_4:
	movq	(%rdx,%rbx,8), %rbx
	movq	(%rdx,%r8,8), %r8
	movq	(%rdx,%rcx,8), %rcx
	movq	(%rdx,%r12,8), %r12
	movq	-96(%rsp), %r9
	movq	-88(%rsp), %r14
	movq	(%rdx,%r11,8), %r11
	movq	%rdi, -112(%rsp)
	movq	-80(%rsp), %rdi
	movq	-40(%rsp), %r13
	movq	-64(%rsp), %rbp
	movq	(%rdx,%rax,8), %rax
	movq	(%rdx,%rsi,8), %rsi
	movq	%rbx, -120(%rsp)
	movzwl	%r8w, %ebx
	movq	(%rdx,%r9,8), %r9
	movq	(%rdx,%r14,8), %r14
	movq	(%rdx,%rdi,8), %rdi
	movq	(%rdx,%r13,8), %r13
	movq	(%rdx,%rbp,8), %rbp
	addq	(%r10,%rbx,8), %r8
	movzwl	%cx, %ebx
	movq	-120(%rsp), %r15
	addq	(%r10,%rbx,8), %rcx
	movzwl	%r12w, %ebx
	addq	(%r10,%rbx,8), %r12
	movzwl	-120(%rsp), %ebx
	movq	%r8, -104(%rsp)
	movq	-104(%rsp), %r8
	sarq	$32, %rcx
	addq	(%r10,%rbx,8), %r15
	movzwl	%r11w, %ebx
	sarq	$32, %r12
	addq	(%r10,%rbx,8), %r11
	movzwl	%r9w, %ebx
	addq	(%r10,%rbx,8), %r9
	movzwl	%r14w, %ebx
	addq	(%r10,%rbx,8), %r14
	movzwl	%di, %ebx
	addq	(%r10,%rbx,8), %rdi
	movzwl	%ax, %ebx
	sarq	$32, %r8
	addq	(%r10,%rbx,8), %rax
	movq	%r15, -120(%rsp)
	movq	-32(%rsp), %r15
	sarq	$32, %r11
	movq	%r9, -96(%rsp)
	movq	-72(%rsp), %r9
	sarq	$32, -96(%rsp)
	movq	%r14, -88(%rsp)
	movq	-56(%rsp), %r14
	sarq	$32, -88(%rsp)
	movq	%rdi, -80(%rsp)
	movq	-48(%rsp), %rdi
	sarq	$32, -80(%rsp)
	movq	(%rdx,%r15,8), %r15
	sarq	$32, %rax
	movq	(%rdx,%r9,8), %r9
	movq	(%rdx,%r14,8), %r14
	movq	(%rdx,%rdi,8), %rdi
	movzwl	%r9w, %ebx
	addq	(%r10,%rbx,8), %r9
	movzwl	%r14w, %ebx
	addq	(%r10,%rbx,8), %r14
	movzwl	%r13w, %ebx
	addq	(%r10,%rbx,8), %r13
	movzwl	%si, %ebx
	addq	(%r10,%rbx,8), %rsi
	movzwl	%bp, %ebx
	addq	(%r10,%rbx,8), %rbp
	movzwl	%di, %ebx
	addq	(%r10,%rbx,8), %rdi
	movzwl	%r15w, %ebx
	sarq	$32, %r9
	addq	(%r10,%rbx,8), %r15
	movq	-120(%rsp), %rbx
	sarq	$32, %r14
	movq	%r9, -72(%rsp)
	sarq	$32, %r13
	movq	%r14, -56(%rsp)
	sarq	$32, %rsi
	movq	%r13, -40(%rsp)
	sarq	$32, %rbp
	sarq	$32, %rdi
	movq	%rbp, -64(%rsp)
	movq	%rdi, -48(%rsp)
	movq	-112(%rsp), %rdi
	sarq	$32, %r15
	sarq	$32, %rbx
	movq	%r15, -32(%rsp)
	decq	%rdi
	cmpq	$1, %rdi
	ja	.LBB5_4
	jmp	.LBB5_2
.LBB5_1:
	movq	-120(%rsp), %rbx
	movq	-112(%rsp), %r11
	movq	-104(%rsp), %rsi
.LBB5_2:
	movq	-24(%rsp), %rdx
	movq	64(%rsp), %rdi
	movq	56(%rsp), %r14
	movq	%rcx, %r10
	movq	%r12, %r9
	movq	80(%rsp), %r12
	vmovsd	(%rdx,%r8,8), %xmm0
	movq	(%r14,%rdi,8), %rcx
	vmovsd	%xmm0, (%r12,%rcx,8)
	vmovsd	(%rdx,%r11,8), %xmm0
	movq	32(%r14,%rdi,8), %rcx
	vmovsd	%xmm0, (%r12,%rcx,8)
	vmovsd	(%rdx,%rax,8), %xmm0
	movq	64(%r14,%rdi,8), %rcx
	movq	-96(%rsp), %rax
	vmovsd	%xmm0, (%r12,%rcx,8)
	vmovsd	(%rdx,%rsi,8), %xmm0
	movq	96(%r14,%rdi,8), %rcx
	vmovsd	%xmm0, (%r12,%rcx,8)
	vmovsd	(%rdx,%r10,8), %xmm0
	movq	8(%r14,%rdi,8), %rcx
	vmovsd	%xmm0, (%r12,%rcx,8)
	vmovsd	(%rdx,%rax,8), %xmm0
	movq	40(%r14,%rdi,8), %rcx
	movq	-72(%rsp), %rax
	vmovsd	%xmm0, (%r12,%rcx,8)
	vmovsd	(%rdx,%rax,8), %xmm0
	movq	72(%r14,%rdi,8), %rax
	vmovsd	%xmm0, (%r12,%rax,8)
	movq	-64(%rsp), %rax
	vmovsd	(%rdx,%rax,8), %xmm0
	movq	104(%r14,%rdi,8), %rax
	vmovsd	%xmm0, (%r12,%rax,8)
	vmovsd	(%rdx,%r9,8), %xmm0
	movq	16(%r14,%rdi,8), %rax
	vmovsd	%xmm0, (%r12,%rax,8)
	movq	-88(%rsp), %rax
	vmovsd	(%rdx,%rax,8), %xmm0
	movq	48(%r14,%rdi,8), %rax
	vmovsd	%xmm0, (%r12,%rax,8)
	movq	-56(%rsp), %rax
	vmovsd	(%rdx,%rax,8), %xmm0
	movq	80(%r14,%rdi,8), %rax
	vmovsd	%xmm0, (%r12,%rax,8)
	movq	-48(%rsp), %rax
	vmovsd	(%rdx,%rax,8), %xmm0
	movq	112(%r14,%rdi,8), %rax
	vmovsd	%xmm0, (%r12,%rax,8)
	vmovsd	(%rdx,%rbx,8), %xmm0
	movq	24(%r14,%rdi,8), %rax
	vmovsd	%xmm0, (%r12,%rax,8)
	movq	-80(%rsp), %rax
	vmovsd	(%rdx,%rax,8), %xmm0
	movq	56(%r14,%rdi,8), %rax
	vmovsd	%xmm0, (%r12,%rax,8)
	movq	-40(%rsp), %rax
	vmovsd	(%rdx,%rax,8), %xmm0
	movq	88(%r14,%rdi,8), %rax
	vmovsd	%xmm0, (%r12,%rax,8)
	movq	-32(%rsp), %rax
	vmovsd	(%rdx,%rax,8), %xmm0
	movq	120(%r14,%rdi,8), %rax
	vmovsd	%xmm0, (%r12,%rax,8)
	movq	-16(%rsp), %rax
	movq	$0, (%rax)
	xorl	%eax, %eax
	popq	%rbx
	popq	%r12
	popq	%r13
	popq	%r14
	popq	%r15
	popq	%rbp
	retq
.Lfunc_end5:
	.size	_ZN7serving13margin_kernel5_walk12_3clocals_3e4walkB2v5B38c8tJTIeFIjxB2IKSgI4CrvQClQZ6FczSBAA_3dE8int64_2a8int64_2a10float64_2a8int64_2a8int64_2axx10float64_2a, .Lfunc_end5-_ZN7serving13margin_kernel5_walk12_3clocals_3e4walkB2v5B38c8tJTIeFIjxB2IKSgI4CrvQClQZ6FczSBAA_3dE8int64_2a8int64_2a10float64_2a8int64_2a8int64_2axx10float64_2a

	.type	_ZN08NumbaEnv7serving13margin_kernel7_margin12_3clocals_3e6marginB2v1B52c8tJTIeFIjxB2IKSgI4CrvQClUYkACQB1EiFSRRB9GgCAA_3d_3dE8int64_2a,@object
	.comm	_ZN08NumbaEnv7serving13margin_kernel7_margin12_3clocals_3e6marginB2v1B52c8tJTIeFIjxB2IKSgI4CrvQClUYkACQB1EiFSRRB9GgCAA_3d_3dE8int64_2a,8,8
	.type	".const.Error creating Python tuple from runtime exception arguments",@object
	.section	.lrodata,"al",@progbits
	.p2align	4, 0x0
".const.Error creating Python tuple from runtime exception arguments":
	.asciz	"Error creating Python tuple from runtime exception arguments"
	.size	".const.Error creating Python tuple from runtime exception arguments", 61

	.type	".const.unknown error when calling native function",@object
	.p2align	4, 0x0
".const.unknown error when calling native function":
	.asciz	"unknown error when calling native function"
	.size	".const.unknown error when calling native function", 43

	.type	".const.<numba.core.cpu.CPUContext>",@object
	.p2align	4, 0x0
".const.<numba.core.cpu.CPUContext>":
	.asciz	"<numba.core.cpu.CPUContext>"
	.size	".const.<numba.core.cpu.CPUContext>", 28

	.type	_ZN08NumbaEnv7serving13margin_kernel7_searchB2v2B38c8tJTIeFIjxB2IKSgI4CrvQClQZ6FczSBAA_3dE10float64_2a8int64_2ax10float64_2a8int64_2a,@object
	.comm	_ZN08NumbaEnv7serving13margin_kernel7_searchB2v2B38c8tJTIeFIjxB2IKSgI4CrvQClQZ6FczSBAA_3dE10float64_2a8int64_2ax10float64_2a8int64_2a,8,8
	.type	_ZN08NumbaEnv7serving13margin_kernel13_rank_columnsB2v3B38c8tJTIeFIjxB2IKSgI4CrvQClQZ6FczSBAA_3dE8int64_2ax8int64_2a8int64_2a,@object
	.comm	_ZN08NumbaEnv7serving13margin_kernel13_rank_columnsB2v3B38c8tJTIeFIjxB2IKSgI4CrvQClQZ6FczSBAA_3dE8int64_2ax8int64_2a8int64_2a,8,8
	.type	_ZN08NumbaEnv7serving13margin_kernel16_rank_categoriesB2v4B38c8tJTIeFIjxB2IKSgI4CrvQClQZ6FczSBAA_3dE10float64_2a8int64_2ax8int32_2a8int64_2ax,@object
	.comm	_ZN08NumbaEnv7serving13margin_kernel16_rank_categoriesB2v4B38c8tJTIeFIjxB2IKSgI4CrvQClQZ6FczSBAA_3dE10float64_2a8int64_2ax8int32_2a8int64_2ax,8,8
	.type	_ZN08NumbaEnv7serving13margin_kernel5_walk12_3clocals_3e4walkB2v5B38c8tJTIeFIjxB2IKSgI4CrvQClQZ6FczSBAA_3dE8int64_2a8int64_2a10float64_2a8int64_2a8int64_2axx10float64_2a,@object
	.comm	_ZN08NumbaEnv7serving13margin_kernel5_walk12_3clocals_3e4walkB2v5B38c8tJTIeFIjxB2IKSgI4CrvQClQZ6FczSBAA_3dE8int64_2a8int64_2a10float64_2a8int64_2a8int64_2axx10float64_2a,8,8
	.type	_ZN08NumbaEnv7serving13margin_kernel10_four_downB2v6B38c8tJTIeFIjxB2IKSgI4CrvQClQZ6FczSBAA_3dE8int64_2a8int64_2a8UniTupleIxLi4EE,@object
	.comm	_ZN08NumbaEnv7serving13margin_kernel10_four_downB2v6B38c8tJTIeFIjxB2IKSgI4CrvQClQZ6FczSBAA_3dE8int64_2a8int64_2a8UniTupleIxLi4EE,8,8
	.section	".note.GNU-stack","",@progbits
