/* SPDX-License-Identifier: MIT
 * questions.c -- the catalogue: Chinese as asked, English translated. */
#include "cli/questions.h"

#include <strings.h>

const dlf_question dlf_questions[DLF_QUESTIONS] = {
    /* clang-format off */
    {"Q1", DLF_BEGINNER, {"深度学习和机器学习本质的区别在哪里？", "What is the essential difference between deep learning and machine learning?"}},
    {"Q2", DLF_BEGINNER, {"深度学习的性能为什么会随着数据增多而提高？", "Why does the performance of deep learning improve with more data?"}},
    {"Q3", DLF_BEGINNER, {"什么是ensemble learning，在深度学习中有何运用？", "What is ensemble learning, and how is it used in deep learning?"}},
    {"Q4", DLF_BEGINNER, {"深度学习中，如何选择激活函数？", "How do you choose an activation function in deep learning?"}},
    {"Q5", DLF_BEGINNER, {"相比机器学习，深度学习有什么优势？", "What advantages does deep learning have over machine learning?"}},
    {"Q7", DLF_BEGINNER, {"如何判断深度学习模型中存在梯度消失问题？", "How do you tell that a deep model has vanishing gradients?"}},
    {"Q8", DLF_BEGINNER, {"如何判断深度学习模型是否存在梯度爆炸问题？怎么确定？", "How do you tell whether a deep model has exploding gradients, and how do you confirm it?"}},
    {"Q9", DLF_BEGINNER, {"Embedding Layer的作用是什么？", "What does an embedding layer do?"}},
    {"Q10", DLF_BEGINNER, {"什么是早停策略？", "What is early stopping?"}},
    {"Q11", DLF_BEGINNER, {"什么是增量学习？", "What is incremental learning?"}},
    {"Q12", DLF_BEGINNER, {"解释感知机的原理", "Explain how the perceptron works."}},
    {"Q13", DLF_INTERMEDIATE, {"什么是计算图？哪些算法属于计算图模型？", "What is a computational graph? Which algorithms are computational-graph models?"}},
    {"Q14", DLF_INTERMEDIATE, {"线性激活函数和非线性激活函数之间有什么区别？", "What is the difference between linear and non-linear activation functions?"}},
    {"Q15", DLF_INTERMEDIATE, {"解释1*1卷积操作的意义？", "Explain what a 1x1 convolution is for."}},
    {"Q16", DLF_INTERMEDIATE, {"在设计神经网络时，神经网络的广度和深度哪个更重要？", "When designing a neural network, which matters more: width or depth?"}},
    {"Q17", DLF_INTERMEDIATE, {"神经网络中的隐藏层计算的内容是什么？", "What do the hidden layers of a neural network compute?"}},
    {"Q18", DLF_INTERMEDIATE, {"神经网络中，可以将非线性激活函数替换为线性激活函数吗？为什么？", "Can the non-linear activation functions of a neural network be replaced by linear ones? Why?"}},
    {"Q19", DLF_INTERMEDIATE, {"在深度学习模型中，如何选择损失函数？", "How do you choose the loss function of a deep learning model?"}},
    {"Q20", DLF_INTERMEDIATE, {"介绍GAN的原理", "Explain how a GAN works."}},
    {"Q21", DLF_INTERMEDIATE, {"什么是迁移学习？", "What is transfer learning?"}},
    {"Q22", DLF_ADVANCED, {"卷积层什么时候与全连接层等价？", "When is a convolutional layer equivalent to a fully connected layer?"}},
    {"Q23", DLF_ADVANCED, {"GAN和自动编码器有什么区别和联系？", "How do GANs and autoencoders differ, and what do they share?"}},
    {"Q24", DLF_ADVANCED, {"预训练对神经网络有什么好处？", "What does pre-training bring to a neural network?"}},
    {"Q25", DLF_ADVANCED, {"在深度神经网络中使用Batch-Norm会有什么问题吗？", "What problems can Batch Norm cause in a deep neural network?"}},
    {"Q26", DLF_ADVANCED, {"什么是multitask learning？什么时候使用它较为合适？", "What is multitask learning, and when is it appropriate?"}},
    {"Q27", DLF_ADVANCED, {"AE与VAE的区别是什么？", "What is the difference between an AE and a VAE?"}},
    {"Q28", DLF_ADVANCED, {"说一些你知道的CNN架构", "Describe some CNN architectures that you know."}},
    {"Q29", DLF_ADVANCED, {"什么是玻尔兹曼机？", "What is a Boltzmann machine?"}},
    {"Q30", DLF_ADVANCED, {"你会选择那种神经网络完成视频分类任务？", "Which kind of neural network would you choose for video classification?"}},
    {"Q31", DLF_ADVANCED, {"dropout对神经网络训练有什么影响？", "How does dropout affect the training of a neural network?"}},
    {"Q32", DLF_ADVANCED, {"AE模型可以用于特征生成吗？如果可以，怎么做？", "Can an autoencoder be used to generate features? If so, how?"}},
    {"Q33", DLF_ADVANCED, {"Batch Normalization、Instance Normalization、Layer Normalization、Group Normalization之间有什么区别？", "What is the difference between Batch, Instance, Layer and Group Normalization?"}},
    {"Q34", DLF_ADVANCED, {"同等参数量情况下，深层神经网络比浅层神经网络效果好的原理是什么？", "Why do deep networks do better than shallow ones with the same number of parameters?"}},
    {"Q35", DLF_ADVANCED, {"比较svm和deep learning", "Compare SVMs with deep learning."}},
    {"Q36", DLF_ADVANCED, {"Relu激活函数比sigmoid函数好的地方在哪里？", "In what is the ReLU activation better than the sigmoid?"}},
    {"Q37", DLF_ADVANCED, {"傅里叶变换在深度学习中有什么运用？", "How are Fourier transforms used in deep learning?"}},
    {"Q38", DLF_ADVANCED, {"集成学习在深度学习中有什么运用？", "How is ensemble learning applied in deep learning?"}},
    {"Q39", DLF_ADVANCED, {"深度学习怎么减轻/避免维度诅咒？", "How does deep learning reduce or avoid the curse of dimensionality?"}},
    {"Q40", DLF_ADVANCED, {"你了解多少种跳转链接（skip-connection）方法？", "How many kinds of skip connection do you know?"}},
    {"Q41", DLF_ADVANCED, {"什么是Deep Recurrent Q-Network?", "What is a Deep Recurrent Q-Network?"}},
    {"Q42", DLF_ADVANCED, {"基于区域的目标检测神经网络(R-CNN)、Fast R-CNN和Faster R-CNN之间有什么区别？", "What is the difference between R-CNN, Fast R-CNN and Faster R-CNN?"}},
    {"Q43", DLF_ADVANCED, {"在处理序列问题上，比较HMM模型和RNN模型", "For sequence problems, compare HMMs with RNNs."}},
    {"Q44", DLF_ADVANCED, {"知道哪些关于目标检测的网络结构？", "Which network architectures for object detection do you know?"}},
    {"Q45", DLF_ADVANCED, {"GAN网络在训练时的难点是什么？", "What makes GANs difficult to train?"}},
    {"Q46", DLF_ADVANCED, {"假设你想训练一个分类器，你有大量未标记的训练数据，但只有几千个标记实例。你将如何进行？", "You want to train a classifier with much unlabelled data but only a few thousand labelled examples. How do you proceed?"}},
    {"Q47", DLF_ADVANCED, {"怎样使用遗传算法优化神经网络？", "How can genetic algorithms be used to optimise a neural network?"}},
    /* clang-format on */
};

dlf_text dlf_level_name(dlf_level level)
{
    static const dlf_text names[] = {
        {"初级", "beginner"}, {"中级", "intermediate"}, {"高级", "advanced"}};
    return names[level];
}

const dlf_question *dlf_question_find(const char *id)
{
    for (int i = 0; i < DLF_QUESTIONS; i++)
        if (strcasecmp(dlf_questions[i].id, id) == 0) return &dlf_questions[i];
    return NULL;
}
